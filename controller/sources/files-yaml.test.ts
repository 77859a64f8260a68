import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { split } from './files-split.ts'
import { parseYaml } from './files-yaml.ts'

/** What kubectl 1.36 makes of each text, tried through its own decoder (k8s.io/apimachinery/pkg/util/yaml). */
const same: Readonly<Record<string, readonly [yaml: string, json: string]>> = {
  'yes and no are booleans': ['a: yes\nb: No', '{"a":true,"b":false}'],
  'on and off are booleans': ['a: on\nb: OFF', '{"a":true,"b":false}'],
  'y and n are booleans': ['a: y\nb: N', '{"a":true,"b":false}'],
  'mixed case is text': ['a: oN\nb: tRUE\nc: nULL', '{"a":"oN","b":"tRUE","c":"nULL"}'],
  'quoted words stay text': ['a: "yes"\nb: \'no\'\nc: |\n  on', '{"a":"yes","b":"no","c":"on\\n"}'],
  'a leading zero is octal': ['a: 017\nb: 00', '{"a":15,"b":0}'],
  '0o is octal': ['a: 0o17', '{"a":15}'],
  'digits that are not octal are decimal': ['a: 08\nb: 0o8', '{"a":8,"b":"0o8"}'],
  'hexadecimal and binary': ['a: 0x1F\nb: 0b11\nc: -0b11\nd: 0xg', '{"a":31,"b":3,"c":-3,"d":"0xg"}'],
  'underscores part digits': ['a: 1_000\nb: 0x_1\nc: _1', '{"a":1000,"b":1,"c":"_1"}'],
  'no base-60 numbers': ['a: 1:30\nb: 190:20:30', '{"a":"1:30","b":"190:20:30"}'],
  'signs': ['a: +5\nb: -5\nc: -x', '{"a":5,"b":-5,"c":"-x"}'],
  'floats': ['a: 1.5\nb: .5\nc: 5.\nd: +.5\ne: 1e3\nf: .', '{"a":1.5,"b":0.5,"c":5,"d":0.5,"e":1000,"f":"."}'],
  'a number too large for a float is text': ['a: 1e400', '{"a":"1e400"}'],
  'integers beyond 64 bits': ['a: 123456789012345678901234567890', '{"a":1.2345678901234568e+29}'],
  'dates stay text': ['a: 2001-01-01\nb: 2001-01-01T00:00:00Z', '{"a":"2001-01-01","b":"2001-01-01T00:00:00Z"}'],
  'null, four ways': ['a:\nb: ~\nc: null\nd: NULL', '{"a":null,"b":null,"c":null,"d":null}'],
  'tags': ["a: !!str 12\nb: !!int '5'\nc: !!float 3\nd: !!bool yes", '{"a":"12","b":5,"c":3,"d":true}'],
  'unknown tags are text': ['a: !foo bar\nb: ! 12', '{"a":"bar","b":"12"}'],
  'binary is decoded': ['a: !!binary aGVsbG8=', '{"a":"hello"}'],
  'keys that are no text': ['on: 1\n017: x\n1.5: z', '{"15":"x","true":1,"1.5":"z"}'],
  'anchors and aliases': ['a: &x [1]\nb: *x', '{"a":[1],"b":[1]}'],
  'an anchor may be set again': ['a: &x 1\nb: *x\nc: &x 2\nd: *x', '{"a":1,"b":1,"c":2,"d":2}'],
  'merge keys': ['a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3', '{"a":{"b":1,"c":2},"d":{"b":1,"c":3}}'],
  'a merge writes over what precedes it': ['b: 1\n<<: {b: 2, c: 3}', '{"b":2,"c":3}'],
  'of merged lists the first wins': ['<<: [{a: 1}, {a: 2, b: 3}]', '{"a":1,"b":3}'],
  'a quoted merge key is a key': ["'<<': {a: 1}", '{"<<":{"a":1}}'],
  'folded and literal blocks': ['a: >\n  x\n  y\nb: |-\n  z\n', '{"a":"x y\\n","b":"z"}'],
  'flow style': ['x: [a, b: c, {d: e}]', '{"x":["a",{"b":"c"},{"d":"e"}]}'],
  'comments only after a space': ['a: b #c\nd: b#c', '{"a":"b","d":"b#c"}'],
  'Windows line ends': ['a: 1\r\nb: |\r\n  x\r\n', '{"a":1,"b":"x\\n"}'],
  'JSON with tabs': ['{\n\t"a": [1,\t2]\n}', '{"a":[1,2]}'],
  '__proto__ is a key like any other': ['__proto__: {a: 1}', '{"__proto__":{"a":1}}'],
}

const refused: Readonly<Record<string, readonly [yaml: string, message: RegExp, line: number]>> = {
  'a duplicate key': ['a: 1\nb: 2\na: 3', /"a" is already there/, 3],
  'keys that become duplicates': ['on: 1\ntrue: 2', /"true" is already there/, 2],
  'duplicates in JSON': ['{"a": 1,\n"a": 2}', /"a" is already there/, 2],
  'a tab as indentation': ['a:\n\tb: 1', /[Tt]ab/, 2],
  'NaN and infinity': ['a: 1\nb: .nan', /no JSON form/, 2],
  'infinity': ['a: -.inf', /no JSON form/, 1],
  'an unknown anchor': ['a: *nope', /no anchor &nope/, 1],
  'an alias before its anchor': ['a: *x\nb: &x 1', /no anchor &x/, 1],
  'a cycle through a list': ['a: &x [*x]', /contains itself/, 1],
  'a cycle through a mapping': ['a: &x\n  b: *x', /contains itself/, 2],
  'a cycle through a merge': ['a: &x\n  <<: *x', /contains itself/, 2],
  'a merge of no mapping': ['<<: 1', /takes a mapping/, 1],
  'a null key': ['a: 1\n~: 1', /a key must be/, 2],
  'a key that is a list': ['? [a]\n: 1', /a key must be/, 1],
  'a value that is not of its tag': ['a: !!int x', /!!int/, 1],
  'bad base64': ['a: !!binary "%"', /base64/, 1],
  'an unclosed list': ['a: 1\nb: [1, 2\n', /must be sufficiently indented|must end/, 3],
  'two mappings on a line': ['a: b: c', /[Nn]ested mappings/, 1],
  'a control character': ['a: 1\nb: "\u0001"', /U\+0001/, 2],
  'what follows ...': ['a: 1\n...\nb: 2', /kubectl ignores/, 3],
  'a directive': ['%YAML 1.1\n', /directive/, 1],
  'nesting by the hundred': ['['.repeat(300) + ']'.repeat(300), /nested deeper/, 1],
  'nesting by the hundred thousand': ['['.repeat(100_000), /nested deeper/, 1],
}

describe('YAML as kubectl reads it', () => {
  for (const [name, [yaml, json]] of Object.entries(same)) {
    it(name, () => {
      const [chunk] = split(yaml)
      const document = parseYaml(chunk?.text ?? '')
      assert.ok(!('fault' in document), 'fault' in document ? document.fault.message : '')
      assert.deepEqual(JSON.parse(JSON.stringify(document.value)), JSON.parse(json))
    })
  }

  it('touches no prototype', () => {
    const document = parseYaml('__proto__: {polluted: true}\na: {__proto__: {polluted: true}}')
    assert.ok(!('fault' in document))
    assert.equal(Object.getPrototypeOf(document.value), Object.prototype)
    assert.equal(Object.getOwnPropertyDescriptor(Object.prototype, 'polluted'), undefined)
  })
})

describe('YAML that is refused, with its place', () => {
  for (const [name, [yaml, message, line]] of Object.entries(refused)) {
    it(name, () => {
      const document = parseYaml(yaml)
      assert.ok('fault' in document)
      assert.match(document.fault.message, message)
      assert.equal(yaml.slice(0, document.fault.offset).split('\n').length, line)
    })
  }

  it('an alias bomb, before it goes off', () => {
    const levels = Array.from({ length: 30 }, (_, n) => `l${n + 1}: &l${n + 1} [*l${n}, *l${n}, *l${n}, *l${n}]`)
    const document = parseYaml(`l0: &l0 [x, x, x]\n${levels.join('\n')}`)
    assert.ok('fault' in document)
    assert.match(document.fault.message, /aliases expand to more than/)
  })

  it('aliases in honest numbers are no bomb', () => {
    const document = parseYaml(`a: &x {b: 1}\nc: [${'*x,'.repeat(1000)}]`)
    assert.ok(!('fault' in document))
  })

  it('a document longer than an API server takes', () => {
    const document = parseYaml(`a: ${'x'.repeat(4_000_000)}`)
    assert.ok('fault' in document)
    assert.match(document.fault.message, /3 MiB/)
  })
})

describe('splitting a file into documents', () => {
  const texts = (text: string) => split(text).map((chunk) => [chunk.line, chunk.text.trim()])

  it('at lines that begin with ---, comments allowed', () => {
    assert.deepEqual(texts('a: 1\n---\nb: 2\n--- # c\nc: 3\n'), [[0, 'a: 1'], [1, 'b: 2'], [3, 'c: 3']])
    assert.deepEqual(texts('---\na: 1'), [[0, ''], [0, 'a: 1']])
    assert.deepEqual(texts('a: 1\r\n---\r\nb: 2'), [[0, 'a: 1'], [1, 'b: 2']])
    assert.deepEqual(texts('a: |\n  x\n  ---\n  y'), [[0, 'a: |\n  x\n  ---\n  y']])
    assert.deepEqual(texts(''), [[0, '']])
  })

  it('names a separator with something after it', () => {
    assert.deepEqual(split('a: 1\n--- {b: 2}\nc: 3').map(({ separator }) => separator), [undefined, '{b: 2}'])
    assert.deepEqual(split('----\na: 1').map(({ separator }) => separator), [undefined, '-'])
  })

  it('after each JSON object, also without a separator', () => {
    assert.deepEqual(texts('{"a":"}\\""}\n{"b":2}{"c":3}\n'), [[0, '{"a":"}\\""}'], [0, '{"b":2}'], [1, '{"c":3}']])
    assert.deepEqual(texts('{"a":1}\n---\nb: 2'), [[0, '{"a":1}'], [0, ''], [1, 'b: 2']])
    assert.deepEqual(texts('{a: 1}\n---\n{b: 2}'), [[0, '{a: 1}'], [1, '{b: 2}']])
  })
})
