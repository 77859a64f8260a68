// openai for Node.js as its users call it: chat.mjs MODULE BASE-URL. Prints what it got, without what differs every time.
const [, , module, baseURL] = process.argv
const { default: OpenAI } = await import(module)
const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 })
const say = (...words) => process.stdout.write(`${words.join(' ')}\n`)
const ask = { model: 'tiny', temperature: 0, max_tokens: 16, seed: 1, messages: [{ role: 'user', content: 'Good morning' }] }

const chat = await client.chat.completions.create(ask)
say('chat', chat.choices[0].message.content, chat.usage.completion_tokens)
const words = []
for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) words.push(chunk.choices[0].delta.content)
say('stream', JSON.stringify(words))
let last
for await (const chunk of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) last = chunk
say('usage', last.usage.completion_tokens)
const left = await client.chat.completions.create({ ...ask, max_tokens: 2000, stream: true })
for await (const chunk of left) {
  say('left', chunk.object)
  break
}
say('aborted', left.controller.signal.aborted)
await client.chat.completions.create({ model: 'tiny', messages: 'none' })
  .then(() => say('no error'), (error) => say('error', error.constructor.name, error.status, JSON.stringify(error.error)))
