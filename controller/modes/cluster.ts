import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { selfCertificates } from '../certificates/self.ts'
import { isObject, isRecord, pathOf } from '../kubernetes/api.ts'
import { Annotations } from '../kubernetes/commands.ts'
import { sharedClock, systemClock } from '../kubernetes/clock.ts'
import { connect, loadConfig, withToken } from '../kubernetes/connect.ts'
import { counted, type CallRecord } from '../kubernetes/counted.ts'
import { SECRETS } from '../kubernetes/kinds.ts'
import { Leadership } from '../kubernetes/leadership.ts'
import { Elector } from '../kubernetes/lease.ts'
import { Reporter } from '../kubernetes/reporter.ts'
import { clusterTokens } from '../kubernetes/reviews.ts'
import { readHistory } from '../kubernetes/revisions.ts'
import { clusterRollouts } from '../kubernetes/rollouts.ts'
import { troubleOf } from '../kubernetes/trouble.ts'
import type { Log } from '../log.ts'
import { keptPepper } from '../pepper.ts'
import { manifestOf } from '../rotation.ts'
import { KubernetesSource } from '../sources/kubernetes.ts'
import { isRouteSpec } from '../sources/route-spec.ts'
import { reweighings } from '../sources/weights.ts'
import type { Mode, Recorder } from './mode.ts'

export type ClusterOptions = Readonly<{
  /** Without it, the pod's own service account. */
  kubeconfig?: string | undefined
  /** None: all of them. */
  namespaces: readonly string[]
  /** Whose Secrets and ConfigMaps are read. */
  secretNamespaces: readonly string[]
  /** False: the only controller there is, which always leads. */
  leaderElect: boolean
  /** Without it, the namespace of the credentials. */
  leaseNamespace?: string | undefined
  /** The DNS name that proxies dial, for which it makes certificates itself. */
  selfCertificates?: string | undefined
  /** Whose pods may have sidecars. */
  sidecars?: readonly string[] | undefined
}>

const LEASE = 'modelroute-controller'

/**
 * No replica that reads its API server is behind another for so long: a watch that died is found out sooner. Then it is the
 * cluster that was set back, and what proxies hold is of a past that is gone. Milliseconds.
 */
const NEVER_BEHIND = 120_000

/** Every replica reads and serves; only the leader writes: statuses, events and revisions. */
export function clusterMode(options: ClusterOptions, log: Log, tell: (call: CallRecord) => void): Mode {
  const config = loadConfig(options.kubeconfig)
  const clock = sharedClock(systemClock, (off) => {
    const minutes = Math.round(Math.abs(off) / 60_000)
    if (off === 0) log('info', 'the clock of this machine agrees with the API server again')
    else log('warn', 'the clock of this machine is off; that of the API server counts', { minutes, how: off > 0 ? 'behind' : 'ahead' })
  })
  const api = counted(connect(config, clock, (date) => clock.hear(date)), tell)
  const identity = `${hostname()}_${randomUUID()}`
  const elector = new Elector({
    api,
    namespace: options.leaseNamespace ?? api.namespace,
    name: LEASE,
    identity,
    onStarted: () => leadership.begin(),
    onStopped: () => leadership.end(),
    log,
    clock,
  })
  let recorder: Recorder | undefined
  const leadership = new Leadership({
    api,
    namespaces: options.namespaces,
    held: () => elector.leading,
    onLead(statuses) {
      recorder?.lead(statuses)
      reporter.resume()
    },
    log,
  })
  const leading = () => !options.leaderElect || leadership.leading
  /** This process saw itself that the cluster was set back, and has nobody to wait for. */
  let setBackAt: number | undefined
  const source = new KubernetesSource({
    api,
    namespaces: options.namespaces,
    secretNamespaces: options.secretNamespaces,
    log,
    onStatus(uid, status) {
      reporter.statuses.observe(uid, status)
      if (isRecord(status) && 'rules' in status) recorder?.observe(uid, status['rules'])
    },
    onSetBack() {
      setBackAt = clock.now()
      elector.setBack()
    },
  })
  const reporter = new Reporter({
    api, revisions: source.revisions, leading, instance: identity, log, clock, versionOf: (ref) => source.versionOf(ref),
    written(uid, status) {
      if ('rules' in status) recorder?.recorded(uid, status.rules)
    },
  })
  const annotations = new Annotations({ api, leading, log })

  /** What somebody asks for with a token is done with that, and with no right of the controller's own. */
  async function asCaller(token: string, act: (routes: ReturnType<typeof clusterRollouts>) => Promise<string | undefined>): Promise<string | undefined> {
    const theirs = connect(withToken(config, token))
    try {
      return await act(clusterRollouts(theirs, 'modelroute-console'))
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    } finally {
      theirs.close()
    }
  }

  const { selfCertificates: host } = options
  const stopping = new AbortController()
  const credentials = host === undefined ? undefined : selfCertificates({ api, host, sidecars: options.sidecars, log, clock })

  return {
    async start(onSnapshot, rollouts) {
      recorder = rollouts
      if (options.leaderElect) elector.start()
      await source.start(onSnapshot)
    },
    async stop() {
      stopping.abort()
      credentials?.close()
      await source.stop()
      await Promise.all([reporter.stop(), annotations.stop()])
      if (options.leaderElect) await elector.stop()
      api.close()
    },
    pepper: () => keptPepper({ api, log, signal: stopping.signal }),
    problems: () => [],
    observed: () => ({ watches: source.watches(), queues: { ...reporter.work(), annotations: annotations.work } }),
    identify: () => Promise.resolve(clusterTokens(api)),
    async reweigh({ namespace, name }, rule, weights, token) {
      if (token === undefined) return 'a manifest is changed with a token of the cluster; kubectl has one'
      return asCaller(token, async (routes) => {
        const object = await routes.read(namespace, name)
        const spec: unknown = isRecord(object) ? object['spec'] : undefined
        if (!isObject(object) || !isRouteSpec(spec)) return `ModelRoute ${namespace}/${name} does not hold to its schema`
        const wanted = new Map(weights.map(({ variant, weight }) => [variant, weight]))
        const changes = reweighings(spec, `${namespace}/${name}`, rule, wanted)
        if (changes.length > 0) await routes.reweigh(namespace, name, object.metadata.resourceVersion, changes.map(({ change }) => change))
        return undefined
      })
    },
    passOn: ({ namespace, name }, rule, text, token) => asCaller(token, async (routes) => {
      await routes.command(namespace, name, rule, text)
      return undefined
    }),
    async makeKey(key) {
      const answer = await api.call({ method: 'POST', path: pathOf(SECRETS, key.namespace), body: manifestOf(key), signal: stopping.signal, deadline: 10_000 })
      return answer.status === 201 ? undefined : `its Secret cannot be made: ${troubleOf(answer).message}`
    },
    report: (view) => reporter.report(view),
    leading,
    clock,
    order() {
      const { sequence } = source
      return options.leaderElect && sequence !== undefined ? { epoch: elector.term, sequence } : undefined
    },
    surpass({ epoch }, ms) {
      const known = setBackAt !== undefined && clock.now() - setBackAt < NEVER_BEHIND
      if (known || ms >= NEVER_BEHIND) elector.surpass(epoch)
    },
    revision: (_, uid) => source.revisions.latest(uid)?.revision,
    history: (route) => readHistory(api, route),
    tell: (route, rule, news) => reporter.tell(route, rule, news),
    claim: (route, rule, text) => annotations.claim(route, rule, text),
    handled: (route, rule, text) => annotations.remove(route, rule, text),
    credentials,
  }
}
