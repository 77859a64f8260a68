import { describeChanges } from '../dataplane/explain/changes.ts'
import { explain as explainRequest, type Explanation } from '../dataplane/explain/explain.ts'
import type { Question } from '../dataplane/explain/question.ts'
import type { Options } from './flags.ts'
import { imagineTable } from './imagined.ts'
import { plain } from './plain.ts'
import { reach } from './reach.ts'

type Output = Readonly<{ stdout: (text: string) => void; stderr: (text: string) => void }>

/** What the gateway would do with a request; from manifests, or by asking a running proxy. */
export async function explain(options: Options<'explain'>, { stdout, stderr }: Output): Promise<number> {
  const question = questionOf(options)
  const explanation = options.admin === undefined ? await fromFiles(options, question, stderr) : await ask(options.admin, question)
  stdout(options.output === 'json' ? `${JSON.stringify(explanation, null, 2)}\n` : textOf(explanation))
  return 0
}

function questionOf({ operands: [method = '', url = ''], header, data, as, source }: Options<'explain'>): Question {
  const headers = Object.fromEntries(header.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  }))
  if (!URL.canParse(url, 'http://localhost')) throw new Error(`URL ${JSON.stringify(url)} is neither an address nor a path`)
  return {
    method: method.toUpperCase(), url, headers,
    ...(data !== undefined && { body: data }), ...(as !== undefined && { as }), ...(source !== undefined && { source }),
  }
}

async function fromFiles({ filename, gateway, allowUrl }: Options<'explain'>, question: Question, stderr: Output['stderr']): Promise<Explanation> {
  const { table, runtime, problems } = await imagineTable(filename, { gateway, allowUrl })
  stderr(problems.map((line) => `${line}\n`).join(''))
  try {
    return await explainRequest(table, question)
  } finally {
    await runtime.close()
  }
}

async function ask(admin: string, question: Question): Promise<Explanation> {
  const answer = await reach(new URL('/explain', admin), { method: 'POST', body: JSON.stringify(question) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${admin} answers ${answer.status}: ${text.trim().slice(0, 500)}`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what our own admin port says
  return JSON.parse(text) as Explanation
}

/** Of the endpoints; a program asks for JSON and sees more. */
const shownMax = 10

function textOf({ route, rule, variant, endpoint, endpoints = [], unfit = [], code, steps, considered, split, limits = [], terms }: Explanation): string {
  const lines = [
    `route     ${route === undefined ? '-' : `${route} ${rule}`}`,
    `variant   ${variant ?? '-'}`,
    `endpoint  ${endpoint ?? '-'}`,
    `code      ${code ?? '-'}`,
    '',
    ...steps.map(({ filter, verdict, why, changes }) => {
      const more = [...(why === '' ? [] : [why]), ...(changes === undefined || filter === 'backend' ? [] : [describeChanges(changes)])]
      return `${verdict.padEnd(8)}${filter}${more.length === 0 ? '' : `: ${more.join('; ')}`}`
    }),
    ...section('limits', limits.map(limitText)),
    ...section('shares', (split?.shares ?? []).map((share) => `${share.variant} ${Number(share.percent.toFixed(4))} %`)),
    ...section('endpoints, the likeliest first', [
      ...endpoints.slice(0, shownMax).map((one) => `${one.endpoint} ${Number(one.cost.toFixed(2))}: ${one.why}`),
      ...unfit.slice(0, shownMax).map((one) => `${one.endpoint} ${one.state}${one.why === undefined ? '' : `: ${one.why}`}${one.backInMs === undefined ? '' : `, back in ${one.backInMs} ms`}`),
      ...(endpoints.length > shownMax || unfit.length > shownMax ? ['…'] : []),
    ]),
    ...section('terms', terms === undefined ? [] : termsText(terms)),
    ...section('not chosen', considered.map((other) => `${other.route} ${other.rule}: ${other.why}`)),
  ]
  return plain(`${lines.join('\n')}\n`)
}

const section = (title: string, lines: readonly string[]): readonly string[] => lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)]

function limitText({ policy, name, left, amount, unit, asks, allows, shadow, resetsInMs }: NonNullable<Explanation['limits']>[number]): string {
  const notes = [...(allows ? [] : ['not enough']), ...(shadow ? ['only watches'] : []), ...(resetsInMs > 0 ? [`all again in ${Math.ceil(resetsInMs / 1000)} s`] : [])]
  return `${policy} ${name}: ${left === null ? 'unknown' : Math.floor(left)} of ${amount} ${unit} left, ${Math.ceil(asks)} asked for${notes.length === 0 ? '' : `; ${notes.join(', ')}`}`
}

function termsText({ timeouts, retry, hedge, deadlineHeader }: NonNullable<Explanation['terms']>): readonly string[] {
  const times = Object.entries(timeouts).map(([name, milliseconds]) => `${name} ${milliseconds} ms`)
  return [
    ...(times.length === 0 ? [] : [`times: ${times.join(', ')}${deadlineHeader === undefined ? '' : `, less where ${deadlineHeader} says so`}`]),
    ...(retry === undefined ? [] : [`retries: up to ${retry.attempts} for ${[...retry.reasons, ...retry.codes].join(', ')}, of ${retry.budgetPercent} % of the requests`]),
    ...(hedge === undefined ? [] : [`a second request after ${hedge.after} ms, of ${hedge.budgetPercent} % of the requests`]),
  ]
}
