import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { selfCertificates } from '../certificates/self.ts'
import { isRecord, pathOf } from '../kubernetes/api.ts'
import { Annotations } from '../kubernetes/commands.ts'
import { connect, loadConfig } from '../kubernetes/connect.ts'
import { SECRETS } from '../kubernetes/kinds.ts'
import { Leadership } from '../kubernetes/leadership.ts'
import { Elector } from '../kubernetes/lease.ts'
import { Reporter } from '../kubernetes/reporter.ts'
import { readHistory } from '../kubernetes/revisions.ts'
import { troubleOf } from '../kubernetes/trouble.ts'
import type { Log } from '../log.ts'
import { keptPepper } from '../pepper.ts'
import { manifestOf } from '../rotation.ts'
import { KubernetesSource } from '../sources/kubernetes.ts'
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
}>

const LEASE = 'modelroute-controller'

/** Every replica reads and serves; only the leader writes: statuses, events and revisions. */
export function clusterMode(options: ClusterOptions, log: Log): Mode {
  const api = connect(loadConfig(options.kubeconfig))
  const identity = `${hostname()}_${randomUUID()}`
  const elector = new Elector({
    api,
    namespace: options.leaseNamespace ?? api.namespace,
    name: LEASE,
    identity,
    onStarted: () => leadership.begin(),
    onStopped: () => leadership.end(),
    log,
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
  const source = new KubernetesSource({
    api,
    namespaces: options.namespaces,
    secretNamespaces: options.secretNamespaces,
    log,
    onStatus(uid, status) {
      reporter.statuses.observe(uid, status)
      if (isRecord(status) && 'rules' in status) recorder?.observe(uid, status['rules'])
    },
  })
  const reporter = new Reporter({
    api, revisions: source.revisions, leading, instance: identity, log,
    written(uid, status) {
      if ('rules' in status) recorder?.recorded(uid, status.rules)
    },
  })
  const annotations = new Annotations({ api, leading, log })

  const { selfCertificates: host } = options
  const stopping = new AbortController()
  const credentials = host === undefined ? undefined : selfCertificates({ api, host, log })

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
    async makeKey(key) {
      const answer = await api.call({ method: 'POST', path: pathOf(SECRETS, key.namespace), body: manifestOf(key), signal: stopping.signal, deadline: 10_000 })
      return answer.status === 201 ? undefined : `its Secret cannot be made: ${troubleOf(answer).message}`
    },
    report: (view) => reporter.report(view),
    leading,
    revision: (_, uid) => source.revisions.latest(uid)?.revision,
    history: (route) => readHistory(api, route),
    tell: (route, rule, news) => reporter.tell(route, rule, news),
    claim: (route, rule, text) => annotations.claim(route, rule, text),
    handled: (route, rule, text) => annotations.remove(route, rule, text),
    credentials,
  }
}
