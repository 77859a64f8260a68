import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { cutUp } from '../../../test/dataplane/pieces.ts'
import { boundaryOf, FormScan } from './form.ts'

const part = (head: string, body: string) => `--xx\r\n${head}\r\n\r\n${body}\r\n`
const named = (name: string, body: string) => part(`Content-Disposition: form-data; name="${name}"`, body)
const file = part('Content-Disposition: form-data; name="file"; filename="a; name=b.wav"\r\nContent-Type: audio/wav', 'x\r\n--x\r\n-\r\n--xy'.repeat(20))

function find(body: string, sizes = [body.length]) {
  const scan = new FormScan('model', 'xx')
  for (const piece of cutUp(Buffer.from(body), sizes)) scan.take(piece)
  if (!scan.done) scan.end()
  return { value: scan.value, fault: scan.fault, place: scan.place }
}

test('the field is found before and after files, in any pieces, and where it stands', () => {
  for (const body of [`${file}${named('model', 'whisper')}--xx--\r\n`, `${named('model', 'whisper')}${file}--xx--`, `${named('n', '')}${named('model', 'whisper')}--xx--`]) {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes) => {
      const { value, fault, place } = find(body.replaceAll('--xy', '-xy'), sizes)
      assert.deepEqual([value, fault], ['whisper', undefined])
      assert.equal(body.replaceAll('--xy', '-xy').slice(...place ?? []), 'whisper')
    }), { numRuns: 60 })
  }
  assert.deepEqual(find(`${named('x', 'a')}--xx--`), { value: undefined, fault: undefined, place: undefined })
})

test('what some would read in another way is a fault', () => {
  for (const body of [
    '', 'preamble', `${named('model', 'a')}${named('model', 'b')}--xx--`, `${named('Model', 'a')}--xx--`, '--xx\n\n', named('x', 'a'), '--xx \r\n',
    `${part('Content-Disposition: form-data; name="a"; name="model"', 'b')}--xx--`, `${part('Content-Disposition: form-data; name*=utf-8\'\'model', 'b')}--xx--`,
    `${part('Content-Disposition: form-data;\r\n name="model"', 'b')}--xx--`, `${part('Content-Type: text/plain', 'b')}--xx--`,
    `${part('Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64', 'b')}--xx--`, `${named('model', 'a'.repeat(5000))}--xx--`,
  ]) assert.notEqual(find(body).fault, undefined, body.slice(0, 100))
})

test('the boundary is said once', () => {
  assert.equal(boundaryOf('multipart/form-data; boundary=xx'), 'xx')
  assert.equal(boundaryOf('Multipart/Form-Data; charset=utf-8; boundary="x x"'), 'x x')
  for (const type of ['multipart/form-data', 'multipart/mixed; boundary=a', 'multipart/form-data; boundary=a; boundary=b', 'text/plain; boundary=a']) assert.equal(boundaryOf(type), undefined)
})
