import { readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import * as v from 'valibot'
import type { ModelRoute, ModelRouteStatus } from '../crds/types.gen.ts'
import { fileWeights } from '../controller/sources/files-weights.ts'
import type { WeightChange } from '../controller/sources/weights.ts'
import type { Options } from './flags.ts'
import { reach } from './reach.ts'

/** A route as it is asked for, and what became of it. */
export type SeenRoute = Readonly<{
  namespace: string
  name: string
  spec: ModelRoute['spec']
  status: ModelRouteStatus
  /** Of the version that was read; absent over files. */
  resourceVersion?: string
  annotations: Readonly<Record<string, string>>
}>

export type Action = 'promote' | 'promote-full' | 'pause' | 'resume' | 'abort' | 'undo' | 'retry'

/** `hash`: what the command was decided on; the controller refuses it for anything else. */
export type Command = Readonly<{ rule: string; action: Action; hash: string; revision: number | undefined }>

/** Where the routes are, and how their controller is told something. */
export type Place = Readonly<{
  read(): Promise<SeenRoute>
  /** Resolves once the controller has taken it; throws where it does not. */
  tell(command: Command, seen: SeenRoute): Promise<void>
  /** Changes weights of the route as it was seen; absent where nobody may. */
  reweigh?: (seen: SeenRoute, changes: readonly WeightChange[]) => Promise<void>
  close(): void
}>

/** Milliseconds for the controller to take a command, and between two looks at whether it has. */
const takenWithin = 15_000
const lookEvery = 250

export async function placeOf(options: Options<'rollout'>): Promise<Place> {
  const { control, kubeconfig, tokenFile, filename: [file], namespace: [given], operands: [, route = ''] } = options
  if (file !== undefined) return overFile(file, given ?? 'default', route)
  if (control !== undefined) return overControl(control, given ?? 'default', route, tokenFile)
  // The client library costs a second, which only a cluster is worth.
  const [{ connect, loadUserConfig }, { clusterRollouts }] = await Promise.all([
    import('../controller/kubernetes/connect.ts'), import('../controller/kubernetes/rollouts.ts'),
  ])
  const api = connect(loadUserConfig(kubeconfig, ', or --control URL of a controller over files'))
  const namespace = given ?? api.namespace
  const cluster = clusterRollouts(api)
  const read = async () => seenOf(await cluster.read(namespace, route), `ModelRoute ${namespace}/${route}`)
  return {
    read,
    async tell({ rule, action, hash, revision }) {
      const text = `${action}${revision === undefined ? '' : `:${revision}`}@${hash}`
      const before = await cluster.refusals(namespace, route)
      await cluster.command(namespace, route, rule, text)
      const until = Date.now() + takenWithin
      do {
        if (Date.now() > until) throw new Error('no controller has taken the command yet; it stays on the route until one does')
        await wait(lookEvery)
      } while (cluster.standing((await read()).annotations, rule) === text)
      for (const [event, note] of await cluster.refusals(namespace, route)) {
        if (!before.has(event) && note.includes(text)) throw new Error(`refused: ${note}`)
      }
    },
    reweigh: (seen, changes) => cluster.reweigh(namespace, route, seen.resourceVersion ?? '', changes),
    close: () => api.close(),
  }
}

/** A manifest alone: what it asks for, and nothing of what became of it. */
function overFile(path: string, namespace: string, route: string): Place {
  const file = fileWeights(path, namespace, route)
  return {
    read: async () => ({ namespace, name: route, spec: await file.read(), status: {}, annotations: {} }),
    tell: () => Promise.reject(new Error('commands go to a controller: --control URL')),
    reweigh: (_, changes) => file.reweigh(changes),
    close: () => {},
  }
}

function overControl(control: string, namespace: string, route: string, tokenFile: string | undefined): Place {
  return {
    async read() {
      const { items } = await asked<{ items: readonly Readonly<{ kind: string; metadata: Readonly<{ namespace: string; name: string }> }>[] }>(new URL('/status', control))
      const found = items.find(({ kind, metadata }) => kind === 'ModelRoute' && metadata.namespace === namespace && metadata.name === route)
      if (found === undefined) throw new Error(`there is no ModelRoute ${namespace}/${route}`)
      return seenOf(found, `ModelRoute ${namespace}/${route}`)
    },
    async tell({ rule, action, hash, revision }) {
      const body = JSON.stringify({ namespace, route, rule, action, specHash: hash, ...(revision !== undefined && { revision }) })
      const token = tokenFile === undefined ? {} : { authorization: `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}` }
      await asked(new URL('/rollout', control), { method: 'POST', headers: { 'content-type': 'application/json', ...token }, body })
    },
    close: () => {},
  }
}

async function asked<T>(url: URL, init?: RequestInit): Promise<T> {
  const answer = await reach(url, { ...init, signal: AbortSignal.timeout(takenWithin) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${url.origin} answers ${answer.status}: ${reasonIn(text)}`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what our own control port says
  return JSON.parse(text) as T
}

const Refusal = v.pipe(v.string(), v.parseJson(), v.object({ error: v.string() }))

/** The words of a refusal, which a controller gives as `error`; else what whoever answers there says. */
function reasonIn(text: string): string {
  const refusal = v.safeParse(Refusal, text)
  return refusal.success ? refusal.output.error : text.trim().slice(0, 500)
}

function seenOf(object: unknown, what: string): SeenRoute {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the API server and our own control port keep to the schema
  const { metadata, spec, status = {} } = object as Partial<Pick<ModelRoute, 'spec' | 'status'>> & {
    metadata: Readonly<{ namespace?: string; name: string; resourceVersion?: string; annotations?: Readonly<Record<string, string>> }>
  }
  if (spec === undefined) throw new Error(`${what} does not hold to its schema; see modelroute check`)
  const { namespace = 'default', name, resourceVersion, annotations = {} } = metadata
  return { namespace, name, spec, status, annotations, ...(resourceVersion !== undefined && { resourceVersion }) }
}
