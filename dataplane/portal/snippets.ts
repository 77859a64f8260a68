import type { Offer, Place } from './offers.ts'

export type Snippet = Readonly<{ name: string; text: string }>

/** How the holder calls a model, ready to be copied: the key comes from the environment variable MODELROUTE_KEY. */
export function snippetsOf(offer: Offer, origin: string): readonly Snippet[] {
  const { protocol, path, model } = offer
  const base = new URL(offer.host === undefined ? origin : `${new URL(origin).protocol}//${offer.host}`).origin
  const snippets: Snippet[] = [{ name: 'curl', text: curl(offer, base) }]
  if (protocol === 'OpenAI') snippets.push({ name: 'openai', text: openai(offer, `${base}${path.replace(/\/v1\/.*$/, '/v1')}`) })
  if (protocol === 'V2' && model !== '') snippets.push({ name: 'tritonclient', text: triton(offer, base) })
  return snippets
}

/** For a shell: nothing in it is expanded. */
const shell = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
/** For Python, whose strings JSON's are. */
const python = (text: string) => JSON.stringify(text)

function curl({ protocol, path, method, model, headers, place }: Offer, base: string): string {
  const query = place?.in === 'Query' ? `?${encodeURIComponent(place.name)}=` : ''
  const lines = [`curl ${method === 'GET' ? '' : `-X ${method} `}${shell(`${base}${path}${query}`)}${query === '' ? '' : '"$MODELROUTE_KEY"'}`]
  const given = keyHeader(place)
  if (given !== undefined) lines.push(`-H "${given.name}: ${given.prefix}$MODELROUTE_KEY"`)
  for (const [name, value] of headers) lines.push(`-H ${shell(`${name}: ${value}`)}`)
  if (method === 'POST' || method === 'PUT') lines.push(`-H 'content-type: application/json'`, `-d ${shell(bodyOf(protocol, model))}`)
  return lines.join(' \\\n  ')
}

function bodyOf(protocol: Offer['protocol'], model: string): string {
  if (protocol === 'OpenAI') return JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] })
  if (protocol === 'V2') return JSON.stringify({ inputs: [{ name: 'INPUT', shape: [1], datatype: 'FP32', data: [1] }] })
  return protocol === 'V1' ? '{"instances":[[1]]}' : '{}'
}

function openai({ model, headers, place }: Offer, url: string): string {
  const extra: [string, string][] = headers.map(([name, value]) => [python(name), python(value)])
  const given = keyHeader(place)
  if (given !== undefined && place?.in === 'Header') extra.push([python(given.name), 'os.environ["MODELROUTE_KEY"]'])
  const query = place?.in === 'Query' ? `,\n    default_query={${python(place.name)}: os.environ["MODELROUTE_KEY"]}` : ''
  return `import os
from openai import OpenAI

client = OpenAI(
    base_url=${python(url)},
    api_key=${place?.in === 'Bearer' ? 'os.environ["MODELROUTE_KEY"]' : '"none"'}${dictionary('default_headers', extra)}${query},
)
answer = client.chat.completions.create(
    model=${python(model)},
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)`
}

function triton({ model, path, headers, place }: Offer, base: string): string {
  const { protocol, host } = new URL(base)
  const version = /\/versions\/([^/]+)\//.exec(path)?.[1]
  const given = keyHeader(place)
  const all: [string, string][] = headers.map(([name, value]) => [python(name), python(value)])
  if (given !== undefined) all.push([python(given.name), given.prefix === '' ? 'os.environ["MODELROUTE_KEY"]' : `${python(given.prefix)} + os.environ["MODELROUTE_KEY"]`])
  const query = place?.in === 'Query' ? `,\n    query_params={${python(place.name)}: os.environ["MODELROUTE_KEY"]}` : ''
  return `import os
import numpy
import tritonclient.http as triton

client = triton.InferenceServerClient(${python(host)}${protocol === 'https:' ? ', ssl=True' : ''})
data = triton.InferInput("INPUT", [1], "FP32")
data.set_data_from_numpy(numpy.array([1], dtype=numpy.float32))
answer = client.infer(
    ${python(model)}, [data]${version === undefined ? '' : `, model_version=${python(decodeURIComponent(version))}`}${dictionary('headers', all)}${query},
)
print(answer.get_response())`
}

function keyHeader(place: Place | undefined): Readonly<{ name: string; prefix: string }> | undefined {
  if (place === undefined || place.in === 'Query') return undefined
  return place.in === 'Bearer' ? { name: 'authorization', prefix: 'Bearer ' } : { name: place.name, prefix: '' }
}

function dictionary(name: string, entries: readonly (readonly [string, string])[]): string {
  return entries.length === 0 ? '' : `,\n    ${name}={${entries.map((pair) => pair.join(': ')).join(', ')}}`
}
