/**
 * What a YAML scalar means to kubectl: YAML 1.1 as the Go library behind sigs.k8s.io/yaml resolves it. `yes` and `on`
 * are true, `017` and `0o17` are 15, `1_000` is 1000, but `1:30` stays text (no base-60 numbers) and dates stay text.
 */
type Scalar = string | number | boolean | null

export type Resolved = { value: Scalar } | { error: string }

const words = new Map<string, boolean | null>([
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON'].map((word) => [word, true] as const),
  ...['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF'].map((word) => [word, false] as const),
  ...['', '~', 'null', 'Null', 'NULL'].map((word) => [word, null] as const),
])

const infinite = /^(\.nan|\.NaN|\.NAN|[-+]?\.(inf|Inf|INF))$/
const integer = /^[-+]?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)$/
const float = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/
const date = /^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?$/
const base64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

const LONG = 'tag:yaml.org,2002:'
const INT64_MAX = 2n ** 63n - 1n
const UINT64_MAX = 2n ** 64n - 1n

/** Undefined where it is no integer of 64 bits: it may still be a float, or text. */
function toInteger(text: string): number | undefined {
  if (!integer.test(text)) return undefined
  const signed = text.startsWith('-') || text.startsWith('+')
  const digits = signed ? text.slice(1) : text
  // A leading 0 is octal here, which BigInt wants spelt 0o.
  const magnitude = BigInt(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits.toLowerCase())
  const limit = text.startsWith('-') ? INT64_MAX + 1n : signed ? INT64_MAX : UINT64_MAX
  if (magnitude > limit) return undefined
  return magnitude === 0n ? 0 : Number(text.startsWith('-') ? -magnitude : magnitude)
}

type Typed = { type: 'str' | 'int' | 'float' | 'bool' | 'null' | 'timestamp'; value: Scalar }

function guess(text: string): Typed | { error: string } {
  const word = words.get(text)
  if (word !== undefined) return { type: word === null ? 'null' : 'bool', value: word }
  if (infinite.test(text)) return { error: `${text} has no JSON form; quote it if it is text` }
  if (text.startsWith('.')) {
    const value = float.test(text) ? Number(text) : Infinity
    return Number.isFinite(value) ? { type: 'float', value } : { type: 'str', value: text }
  }
  if (!/^[-+0-9]/.test(text)) return { type: 'str', value: text }
  if (date.test(text)) return { type: 'timestamp', value: text }
  const digits = text.replaceAll('_', '')
  const whole = toInteger(digits)
  if (whole !== undefined) return { type: 'int', value: whole }
  const value = float.test(digits) ? Number(digits) : Infinity
  return Number.isFinite(value) ? { type: 'float', value } : { type: 'str', value: text }
}

/** `plain`: written without quotes, and not as a block. `tag`: as it was expanded, `tag:yaml.org,2002:int`. */
export function resolveScalar(text: string, plain: boolean, tag: string | undefined): Resolved {
  if (tag === undefined || tag === '') {
    if (!plain) return { value: text }
    return guess(text)
  }
  if (!tag.startsWith(LONG)) return { value: text }
  const wanted = tag.slice(LONG.length)
  if (wanted === 'str') return { value: text }
  if (wanted === 'binary') {
    const packed = text.replaceAll(/[\r\n]/g, '')
    return base64.test(packed)
      ? { value: Buffer.from(packed, 'base64').toString('utf8') }
      : { error: '!!binary holds invalid base64' }
  }
  if (!['int', 'float', 'bool', 'null', 'timestamp'].includes(wanted)) return { value: text }
  const guessed = guess(text)
  if ('error' in guessed) return guessed
  if (guessed.type === wanted || (wanted === 'float' && guessed.type === 'int')) return { value: guessed.value }
  return { error: `\`${text.slice(0, 64)}\` is not of the type that its tag says, !!${wanted}` }
}
