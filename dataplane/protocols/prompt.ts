import type { Members } from './json.ts'

/**
 * How the prompt of a request begins, up to so many characters: the model, what the system says, and the messages up
 * to the first of the user. That is what the turns of one conversation have in common, and where a system prompt is
 * longer than that, what all have in common that bring it. Undefined where the request has no prompt.
 *
 * The chat and completion APIs of OpenAI, Anthropic's messages, and the `generate` of Triton and TGI.
 */
export function promptStart(members: Members, most: number): string | undefined {
  const start = new Start(most)
  for (const name of ['system', 'instructions', 'prompt', 'text_input', 'inputs']) start.add(members.value(name))
  for (const name of ['messages', 'input']) addMessages(start, members.value(name))
  if (start.text === '') return undefined
  const model = members.value('model')
  return `${typeof model === 'string' ? model : ''}\n${start.text}`
}

function addMessages(start: Start, messages: unknown): void {
  if (!Array.isArray(messages)) {
    start.add(messages)
    return
  }
  for (const message of messages as readonly unknown[]) {
    if (start.full) return
    const role: unknown = isRecord(message) ? message['role'] : undefined
    if (typeof role === 'string') start.add(role)
    start.add(isRecord(message) ? message['content'] : message)
    if (role === 'user') return
  }
}

/** Text as it is gathered, and no longer than is asked for. */
class Start {
  text = ''
  readonly #most: number

  constructor(most: number) {
    this.#most = most
  }

  get full(): boolean {
    return this.text.length >= this.#most
  }

  /** A text, the numbers of tokens, or a list of parts that hold texts, images or others. */
  add(value: unknown): void {
    if (this.full) return
    if (typeof value === 'string' || typeof value === 'number') this.text = `${this.text}${value}\n`.slice(0, this.#most)
    else if (Array.isArray(value)) for (const one of value as readonly unknown[]) this.add(one)
    else if (isRecord(value) && !('shape' in value)) for (const one of Object.values(value)) this.add(one)
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
