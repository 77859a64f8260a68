/**
 * Conditions of InferenceGraph are paths in the syntax of GJSON, and hold where something is found there. What is said here
 * in CEL: members, positions in lists, `[@this]`, and queries such as `#(name=="value")`.
 */

/** A condition in CEL, or why it cannot be said there. */
export type Said = Readonly<{ cel: string } | { fault: string }>

type Part =
  | Readonly<{ kind: 'member'; name: string }>
  | Readonly<{ kind: 'query'; path: readonly Part[]; op: string; value: string; quoted: boolean }>
  /** `[@this]`: what is looked at, as the one item of a list. */
  | Readonly<{ kind: 'wrapped' }>

class Unsayable extends Error {}

/** What is looked at, in CEL. `members`: it is made there of these, by their names. */
export type Subject = Readonly<{ cel: string; members?: ReadonlyMap<string, string> | undefined }>

export function conditionInCel(path: string, subject: Subject): Said {
  try {
    return { cel: foundIn(subject, partsOf(path)) || 'true' }
  } catch (error) {
    if (error instanceof Unsayable) return { fault: error.message }
    throw error
  }
}

function partsOf(path: string): readonly Part[] {
  const parts: Part[] = []
  let rest = path.trim()
  if (rest.startsWith('[@this]')) {
    parts.push({ kind: 'wrapped' })
    rest = rest.slice('[@this]'.length)
  } else if (rest.startsWith('@this')) rest = rest.slice('@this'.length)
  else rest = `.${rest}`
  while (rest !== '') {
    if (!rest.startsWith('.') && !rest.startsWith('|')) throw new Unsayable(`at ${JSON.stringify(rest)}: not a path of members, positions and queries`)
    rest = rest.slice(1)
    if (rest.startsWith('#')) {
      const { part, length } = queryOf(rest)
      parts.push(part)
      rest = rest.slice(length)
      continue
    }
    const [text = ''] = /^(?:\\.|[^.|\\])*/s.exec(rest) ?? []
    if (text === '' || /^[@{[!]/.test(text) || /(?<!\\)[*?#(){}[\]]/.test(text)) throw new Unsayable(`at ${JSON.stringify(rest)}: wildcards, modifiers and several paths at once have no counterpart`)
    parts.push({ kind: 'member', name: text.replaceAll(/\\(.)/gs, '$1') })
    rest = rest.slice(text.length)
  }
  return parts
}

/** `#(path op value)`, at the beginning of the text. */
function queryOf(text: string): { part: Part; length: number } {
  if (text[1] !== '(') throw new Unsayable(`at ${JSON.stringify(text)}: the length of a list is always there; a query is #(…)`)
  let depth = 0
  let at = 1
  for (; at < text.length; at++) {
    if (text[at] === '"') {
      for (at++; at < text.length && text[at] !== '"'; at++) if (text[at] === '\\') at++
    } else if (text[at] === '(') depth++
    else if (text[at] === ')' && --depth === 0) break
  }
  if (at >= text.length) throw new Unsayable(`at ${JSON.stringify(text)}: the query does not end`)
  if (text[at + 1] === '#') throw new Unsayable(`at ${JSON.stringify(text)}: #(…)# is always there, also where nothing matches; write #(…)`)
  const inner = text.slice(2, at)
  const parts = /^(?<path>(?:[^=!<>%"#(]|\\.|#\([^]*\))*?)\s*(?:(?<op>==|!=|<=|>=|<|>|!%|%|=)\s*(?<value>[^]*))?$/.exec(inner)?.groups
  if (parts === undefined) throw new Unsayable(`${JSON.stringify(inner)} is no query that can be read here`)
  const path = (parts['path'] ?? '').trim()
  const raw = (parts['value'] ?? '').trim()
  const quoted = raw.startsWith('"')
  const op = parts['op'] === '=' ? '==' : parts['op'] ?? ''
  return { part: { kind: 'query', path: path === '' ? [] : partsOf(path), op, value: quoted ? textOf(raw) : raw, quoted }, length: at + 1 }
}

function textOf(raw: string): string {
  try {
    return String(JSON.parse(raw))
  } catch {
    throw new Unsayable(`${raw} is no text`)
  }
}

function foundIn({ cel, members }: Subject, parts: readonly Part[], then: (subject: string) => string = () => ''): string {
  const [part, ...rest] = parts
  if (members === undefined || part === undefined) return found(cel, parts, 0, then)
  if (part.kind === 'member') {
    const member = members.get(part.name)
    return member === undefined ? 'false' : found(member, rest, 0, then)
  }
  const [query] = rest
  if (part.kind === 'wrapped' && query?.kind === 'query' && rest.length === 1) return foundIn({ cel, members }, query.path, (value) => compared(value, query))
  throw new Unsayable('it asks of the answers of an Ensemble what is not theirs by name')
}

/** CEL that holds where something is found below `subject`, and `then` holds of it. Empty: always. */
function found(subject: string, parts: readonly Part[], depth: number, then: (subject: string) => string): string {
  const [part, ...rest] = parts
  if (part === undefined) return then(subject)
  if (part.kind === 'member') {
    const below = /^\d+$/.test(part.name) ? `${subject}[${part.name}]` : selected(subject, part.name)
    return both(there(subject, part.name), found(below, rest, depth, then))
  }
  if (part.kind === 'wrapped') {
    const [query, ...after] = rest
    if (query?.kind !== 'query') throw new Unsayable('[@this] is followed by a query here: [@this].#(name=="value")')
    return both(holds(subject, query, depth), found(subject, after, depth, then))
  }
  const item = `v${depth || ''}`
  const holding = holds(item, part, depth + 1) || 'true'
  const after = then(subject) === '' && rest.length === 0
  if (after) return `${subject}.exists(${item}, ${holding})`
  const matching = `${subject}.filter(${item}, ${holding})`
  return both(`size(${matching}) > 0`, found(`${matching}[0]`, rest, depth + 1, then))
}

function holds(subject: string, query: Extract<Part, { kind: 'query' }>, depth: number): string {
  return found(subject, query.path, depth, (value) => compared(value, query))
}

const both = (one: string, other: string) => [one, other].filter((text) => text !== '').join(' && ')
const isName = (name: string) => /^[A-Za-z_]\w*$/.test(name) && !reserved.has(name)
/** Of CEL. */
const reserved = new Set(['in', 'as', 'break', 'const', 'continue', 'else', 'false', 'for', 'function', 'if', 'import', 'let', 'loop', 'package', 'namespace', 'null', 'return', 'true', 'var', 'void', 'while'])
const selected = (subject: string, name: string) => isName(name) ? `${subject}.${name}` : `${subject}[${JSON.stringify(name)}]`

function there(subject: string, name: string): string {
  if (/^\d+$/.test(name)) return `size(${subject}) > ${name}`
  // has() looks at names only.
  return isName(name) && /^[\w.]+$/.test(subject) && subject.includes('.') ? `has(${selected(subject, name)})` : `type(${subject}) == map && ${JSON.stringify(name)} in ${subject}`
}

/** As GJSON does it: a text and a number are the same where they are written the same. */
function compared(subject: string, { op, value, quoted }: Extract<Part, { kind: 'query' }>): string {
  if (op === '') return ''
  const text = JSON.stringify(value)
  if (op === '%' || op === '!%') {
    const pattern = JSON.stringify(`^(?s:${value.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.')})$`)
    return `${op === '%' ? '' : '!'}${subject}.matches(${pattern})`
  }
  const number = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(value)
  if (!quoted && !number) {
    if (value !== 'true' && value !== 'false') throw new Unsayable(`${JSON.stringify(value)} is no number, no text in quotes, and not true or false`)
    if (op !== '==' && op !== '!=') throw new Unsayable(`${op} does not go with ${value}`)
    return `${subject} ${op} ${value}`
  }
  if (op === '==' || op === '!=') return number ? (op === '==' ? `(${subject} == ${text} || ${subject} == ${value})` : `${subject} != ${text} && ${subject} != ${value}`) : `${subject} ${op} ${text}`
  return number ? `(type(${subject}) == string ? ${subject} ${op} ${text} : ${subject} ${op} ${/[.eE]/.test(value) ? value : `${value}.0`})` : `${subject} ${op} ${text}`
}
