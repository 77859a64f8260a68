import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request, type IncomingMessage } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import type { Api } from '../controller/kubernetes/api.ts'
import { trialRoutes, type TrialRoute } from '../controller/kubernetes/trial.ts'
import type { Options } from './flags.ts'

type Output = Readonly<{ stdout: (text: string) => void; stderr: (text: string) => void }>

/** Below a name that RFC 6761 gives to nobody: no traffic of anybody else is for this host. */
const HOST = 'selftest.modelroute.invalid'
/** Milliseconds between two looks, and for one answer of a gateway. */
const lookEvery = 250
const answerWithin = 5000
/** What of an answer is looked at, in characters. */
const most = 1000

/**
 * Whether an installation works, from one end to the other: this process is the model server of a route that it makes, it
 * waits until every proxy has that in force, and asks each gateway for its own word. The route goes again in any case.
 */
export async function selftest(options: Options<'selftest'>, { stdout, stderr }: Output, open = clusterOf): Promise<number> {
  const { namespace: [given], service = '', owner, host, httpPort, timeout, kubeconfig } = options
  const gateways = options.through.map(pairOf)
  const word = randomBytes(16).toString('hex')
  const api = await open(kubeconfig)
  const namespace = given ?? api.namespace
  const routes = trialRoutes(api, namespace)
  const server = createServer((_, response) => void response.end(word))
  const until = performance.now() + timeout
  let name: string | undefined
  try {
    server.listen(httpPort, host)
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : httpPort
    const [pod, uid = ''] = owner === undefined ? [] : pairOf(owner)
    const path = `/selftest/${word}`
    name = await routes.create({
      gateways: gateways.map(([gateway]) => gateway), host: HOST, path, service, port, owner: pod === undefined ? undefined : { name: pod, uid },
    })
    stdout(`ModelRoute ${namespace}/${name}: made\n`)
    const made = name
    await hold(until, async () => notProgrammed(await routes.read(made)))
    stdout(`ModelRoute ${namespace}/${name}: Programmed\n`)
    for (const [gateway, url] of gateways) {
      await hold(until, () => notAnswered(new URL(path, url), word))
      stdout(`gateway ${gateway}: ${url} leads to the model server of the route\n`)
    }
    return 0
  } catch (error) {
    stderr(`modelroute selftest: ${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  } finally {
    if (name !== undefined) await routes.remove(name).catch((error: Error) => stderr(`modelroute selftest: ModelRoute ${namespace}/${name}: not deleted: ${error.message}\n`))
    api.close()
    server.close()
    server.closeAllConnections()
  }
}

/** The client library costs a second, which only a cluster is worth. */
async function clusterOf(kubeconfig: string | undefined): Promise<Api> {
  const { connect, loadConfig } = await import('../controller/kubernetes/connect.ts')
  return connect(loadConfig(kubeconfig))
}

/** Looks until nothing is wrong any more; throws what last was. */
async function hold(until: number, wrong: () => Promise<string | undefined>): Promise<void> {
  for (;;) {
    const what = await wrong()
    if (what === undefined) return
    if (performance.now() > until) throw new Error(what)
    await wait(lookEvery)
  }
}

function notProgrammed({ metadata: { generation }, status: { conditions } }: TrialRoute): string | undefined {
  const current = conditions.filter(({ observedGeneration }) => observedGeneration === generation)
  if (current.some(({ type, status }) => type === 'Programmed' && status === 'True')) return undefined
  if (current.length === 0) return 'no controller has said anything about the route: is one running, and may it read this namespace?'
  return `the route is not Programmed: ${current.map(({ type, status, reason, message }) => `${type}=${status} (${reason}) ${message}`.trim()).join('; ')}`
}

async function notAnswered(url: URL, word: string): Promise<string | undefined> {
  const said = await answerOf(url).catch((error: Error) => `it does not: ${error.message || String(error)}`)
  return said === word ? undefined : `${url.origin} should answer with the word of the test, but ${said}`
}

/** A new connection each time, since a Service leads to another proxy with each. */
async function answerOf(url: URL): Promise<string> {
  const sent = request(url, { agent: false, headers: { host: HOST }, signal: AbortSignal.timeout(answerWithin) })
  sent.end()
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the event carries
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) {
    text += String(chunk)
    if (text.length > most) break
  }
  if (response.statusCode === 200) return text
  return `it is ${response.statusCode ?? 0} ${String(response.headers['x-modelroute-error'] ?? '')}: ${text.slice(0, most)}`
}

function pairOf(text: string): [string, string] {
  const at = text.indexOf('=')
  return [text.slice(0, at), text.slice(at + 1)]
}
