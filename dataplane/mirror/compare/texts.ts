import type { Findings } from './findings.ts'
import { isRecord } from './json.ts'

/** Words that are looked at of one text; answers are shorter. */
const wordsMax = 20_000

/**
 * What a model wrote, of each of its choices: completions of the OpenAI API (with the calls of tools that are asked
 * for), and Triton's generate endpoints. Undefined: it is no answer of that kind.
 */
export function textsOf(answer: unknown): readonly string[] | undefined {
  if (!isRecord(answer)) return undefined
  if (typeof answer['text_output'] === 'string') return [answer['text_output']]
  const { choices } = answer
  if (!Array.isArray(choices)) return undefined
  return (choices as readonly unknown[]).map((choice) => (isRecord(choice) ? textOfChoice(choice) : ''))
}

function textOfChoice({ text, message, delta }: Readonly<Record<string, unknown>>): string {
  if (typeof text === 'string') return text
  const said = isRecord(message) ? message : isRecord(delta) ? delta : {}
  const { content, tool_calls: calls } = said
  const written = typeof content === 'string' ? content : ''
  const called = Array.isArray(calls) ? (calls as readonly unknown[]).map(textOfCall).join('') : ''
  return written + called
}

function textOfCall(call: unknown): string {
  const asked = isRecord(call) ? call['function'] : undefined
  if (!isRecord(asked)) return ''
  return ['name', 'arguments'].map((part) => (typeof asked[part] === 'string' ? ` ${asked[part]}` : '')).join('')
}

/** The same of a stream of server-sent events: what all of them say, one after the other. */
export function textsOfEvents(body: string): readonly string[] | undefined {
  const texts: string[] = []
  let understood = false
  for (const line of body.split(/\r?\n/)) {
    if (!line.startsWith('data:')) continue
    const data = line.slice(5).trim()
    if (data === '[DONE]') continue
    const event = parsed(data)
    if (!isRecord(event)) return undefined
    const { choices } = event
    if (typeof event['text_output'] === 'string') {
      texts[0] = (texts[0] ?? '') + event['text_output']
      understood = true
    } else if (Array.isArray(choices)) {
      understood = true
      for (const choice of choices as readonly unknown[]) {
        if (!isRecord(choice)) continue
        const index = typeof choice['index'] === 'number' && choice['index'] >= 0 && choice['index'] < 128 ? Math.trunc(choice['index']) : 0
        texts[index] = (texts[index] ?? '') + textOfChoice(choice)
      }
    }
  }
  return understood ? Array.from(texts, (text) => text ?? '') : undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Choice by choice; a text counts as the same while no more than `relative` of it differs. */
export function compareTexts(a: readonly string[], b: readonly string[], relative: number, findings: Findings): void {
  if (a.length !== b.length) findings.add('/choices', 'length')
  for (const [at, text] of a.entries()) {
    const other = b[at]
    if (other === undefined) continue
    const alike = similarity(text, other)
    findings.alike(alike)
    // Room for what a floating point number cannot say.
    if (alike < 1 - relative - 1e-12) findings.add('/choices/*', 'text', 1 - alike)
  }
}

/**
 * How alike two texts are, from 0 to 1: the part of their pairs of neighbouring words that they have in common
 * (Sørensen–Dice over bigrams). White space does not count; texts of one word are the same or not.
 */
function similarity(a: string, b: string): number {
  if (a === b) return 1
  const [pairs, others] = [pairsOf(a), pairsOf(b)]
  if (pairs.length + others.length === 0) return 1
  const left = new Map<string, number>()
  for (const pair of pairs) left.set(pair, (left.get(pair) ?? 0) + 1)
  let common = 0
  for (const pair of others) {
    const count = left.get(pair) ?? 0
    if (count === 0) continue
    common++
    left.set(pair, count - 1)
  }
  return (2 * common) / (pairs.length + others.length)
}

function pairsOf(text: string): readonly string[] {
  const words = text.match(/\S+/g)?.slice(0, wordsMax) ?? []
  return words.length < 2 ? words : words.slice(1).map((word, i) => `${words[i]} ${word}`)
}
