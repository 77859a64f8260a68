import { randomBytes } from 'node:crypto'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'
import { explain as explainRequest, type Explanation, type Question } from '../dataplane/explain/explain.ts'
import { authenticatorsOf } from '../dataplane/filters/auth/create.ts'
import { createOutgoing } from '../outgoing/call.ts'
import { createRuntime } from '../dataplane/runtime.ts'
import { Vault } from '../dataplane/vault.ts'
import { perResource, type Share } from '../table/resources.ts'
import type { Options } from './flags.ts'

/** What the gateway would do with a request; from manifests, or by asking a running proxy. */
export async function explain(options: Options<'explain'>, stdout: (text: string) => void): Promise<number> {
  const question = questionOf(options)
  const explanation = options.admin === undefined ? await fromFiles(options.filename, options.allowUrl, question) : await ask(options.admin, question)
  stdout(options.output === 'json' ? `${JSON.stringify(explanation, null, 2)}\n` : textOf(explanation))
  return 0
}

function questionOf({ operands: [method = '', url = ''], header, data, as }: Options<'explain'>): Question {
  const headers = Object.fromEntries(header.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  }))
  if (!URL.canParse(url, 'http://localhost')) throw new Error(`URL ${JSON.stringify(url)} is neither an address nor a path`)
  return { method: method.toUpperCase(), url, headers, ...(data !== undefined && { body: data }), ...(as !== undefined && { as }) }
}

async function fromFiles(paths: readonly string[], allowUrls: readonly string[], question: Question): Promise<Explanation> {
  const { snapshot } = await readManifests(paths)
  const compile = createCompiler({ allowUrls, allowLoopback: true, allowUnmanagedEndpointSlices: true, pepper: randomBytes(32) })
  const share = compile(snapshot).fleets.get('default') ?? perResource<Share>(() => new Map())
  const vault = new Vault()
  const authenticators = authenticatorsOf(vault, { outgoing: createOutgoing(), log: () => {} })
  const runtime = createRuntime({ vault, filterDeps: { authenticators } })
  try {
    const refused = runtime.activate({ version: 'files', ...share })
    if (refused[0] !== undefined) throw new Error(`${refused[0].id}: ${refused[0].message}`)
    const table = runtime.table()
    if (table === undefined) throw new Error('there is no table')
    return await explainRequest(table, question)
  } finally {
    await runtime.close()
  }
}

async function ask(admin: string, question: Question): Promise<Explanation> {
  const answer = await fetch(new URL('/explain', admin), { method: 'POST', body: JSON.stringify(question) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${admin} answers ${answer.status}: ${text.trim().slice(0, 500)}`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what our own admin port says
  return JSON.parse(text) as Explanation
}

/** Of the endpoints; a program asks for JSON and sees more. */
const shownMax = 10

function textOf({ route, rule, variant, endpoint, endpoints = [], code, steps, considered }: Explanation): string {
  const lines = [
    `route     ${route === undefined ? '-' : `${route} ${rule}`}`,
    `variant   ${variant ?? '-'}`,
    `endpoint  ${endpoint ?? '-'}`,
    `code      ${code ?? '-'}`,
    '',
    ...steps.map(({ filter, verdict, why }) => `${verdict.padEnd(8)}${filter}${why === '' ? '' : `: ${why}`}`),
    ...(endpoints.length === 0 ? [] : ['', 'endpoints, the likeliest first']),
    ...endpoints.slice(0, shownMax).map((one) => `  ${one.endpoint} ${Number(one.cost.toFixed(2))}: ${one.why}`),
    ...(endpoints.length > shownMax ? ['  …'] : []),
    ...(considered.length === 0 ? [] : ['', 'not chosen']),
    ...considered.map((other) => `  ${other.route} ${other.rule}: ${other.why}`),
  ]
  return `${lines.join('\n')}\n`
}
