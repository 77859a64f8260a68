// openai for Node.js against a limit, as its users call it: limited.mjs MODULE BASE-URL TIMES. A line for each call: how it
// ended, and after how many milliseconds. Its retries are its own.
const [, , module, baseURL, times] = process.argv
const { default: OpenAI } = await import(module)
const client = new OpenAI({ baseURL, apiKey: 'none' })
for (let i = 0; i < Number(times); i++) {
  const began = performance.now()
  const end = await client.chat.completions.create({ model: 'tiny', max_tokens: 16, messages: [{ role: 'user', content: 'Good morning' }] })
    .then(() => 'served', (error) => `${error.constructor.name} ${error.status} ${error.code} ${error.type}`)
  process.stdout.write(`${JSON.stringify({ end, ms: Math.round(performance.now() - began) })}\n`)
}
