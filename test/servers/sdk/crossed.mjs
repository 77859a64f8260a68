// What openai for Node.js makes of a model of Triton behind the gateway: crossed.mjs MODULE BASE-URL
const [, , module, baseURL] = process.argv
const { default: OpenAI } = await import(module)
const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 })
const say = (...words) => process.stdout.write(`${words.join(' ')}\n`)

const one = await client.completions.create({ model: 'text', prompt: 'one two three four', max_tokens: 2 })
say('completion', JSON.stringify(one.choices[0].text), one.choices[0].finish_reason, one.usage.prompt_tokens, one.usage.completion_tokens)
const words = []
let usage
for await (const chunk of await client.chat.completions.create({ model: 'text', messages: [{ role: 'user', content: 'hi there' }], stream: true, stream_options: { include_usage: true } })) {
  words.push(chunk.choices[0]?.delta.content)
  usage = chunk.usage ?? usage
}
say('stream', JSON.stringify(words.filter(Boolean)), usage.completion_tokens)
const left = await client.completions.create({ model: 'text', prompt: 'one two three four', stream: true })
for await (const chunk of left) {
  say('left', JSON.stringify(chunk.choices[0].text))
  break
}
await client.completions.create({ model: 'text', prompt: 'one', n: 2 }).catch((error) => say('refused', error.status, error.code, error.param))
const listed = []
for await (const model of client.models.list()) if (['embed', 'text'].includes(model.id)) listed.push(model.id)
say('models', listed.toSorted((a, b) => a.localeCompare(b)), (await client.models.retrieve('embed')).id)
const { data, usage: took } = await client.embeddings.create({ model: 'embed', input: ['abba', 'cab a'] })
say('embeddings', JSON.stringify(data.map(({ embedding }) => embedding.map((number) => Number(number.toFixed(4))))), took.prompt_tokens)
