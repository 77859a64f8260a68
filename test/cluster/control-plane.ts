// A real control plane: etcd, kube-apiserver and, when asked for, kube-controller-manager.
//
//   const cluster = await startControlPlane()                       // 4 s, 380 MB; controllerManager: 110 MB more
//   await cluster.apply(manifests)                               // kubectl apply --server-side
//   await cluster.kubectl('wait', '--for=condition=Programmed', 'modelroute/fraud')
//   const token = await cluster.token('modelroute', 'controller')  // what a Pod of that service account would hold
//   await cluster.apiServer.kill(); await cluster.apiServer.start() // same port, same data
//   await cluster.stop()
//
// Every call makes its own processes, ports, keys and data folder, so that tests may run side by side. The processes
// die with the test. In the network namespace that run.ts makes, the API server listens on all of its addresses, and
// `url` names the bridge's, which Pods reach too; elsewhere it listens on 127.0.0.1 only.
import { spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../free-ports.ts'
import { Api } from './api.ts'
import { ensureBinaries } from './build.ts'
import type { Binaries } from './build.ts'
import { bridgeAddress } from './netns.ts'
import { Process, temporaryFolder } from './process.ts'
import { until } from './wait.ts'

export type ControlPlaneOptions = Readonly<{
  /** Starts kube-controller-manager: Deployments, EndpointSlices, service accounts and so on. Default false. */
  controllerManager?: boolean
  /** Lets etcd wait for the disk. Default false: a kill -9 of a process loses nothing either way. */
  fsync?: boolean
  /** A data folder of an etcd that has ended, to begin with a copy of. */
  etcdData?: string | undefined
  /** Added to kube-apiserver's command line, and so able to overrule what is there. */
  apiServerArgs?: readonly string[]
}>

/** One program of the control plane. Starting again uses the same port and the same data. */
type Part = Readonly<{
  /** Resolves once it answers. */
  start: () => Promise<void>
  /** SIGKILL unless another signal is named; resolves when it is gone. */
  kill: (signal?: NodeJS.Signals) => Promise<void>
  restart: () => Promise<void>
  tail: (lines?: number) => string
  readonly pid: number | undefined
}>

type RunOptions = Readonly<{ stdin?: string, cwd?: string, timeout?: number }>

export type ControlPlane = Readonly<{
  url: string
  /** Path of a kubeconfig with all rights. */
  kubeconfig: string
  adminToken: string
  /** Path of the PEM file that API server certificates are checked against. */
  caFile: string
  /** A folder for the test's own files, kept only when the run fails. */
  folder: string
  binaries: Binaries
  /** With all rights; `api.as(token)` for fewer. */
  api: Api
  /** stdout; rejects with stderr when it exits other than 0. A last argument that is an object holds RunOptions. */
  kubectl: (...args: (string | RunOptions)[]) => Promise<string>
  helm: (...args: (string | RunOptions)[]) => Promise<string>
  /** `kubectl apply --server-side` of YAML text or of objects. */
  apply: (manifests: string | object | readonly object[]) => Promise<string>
  /** A TokenRequest: the service account must exist. */
  token: (namespace: string, serviceAccount: string, audiences?: readonly string[]) => Promise<string>
  /** Path of a new kubeconfig that holds this token. */
  kubeconfigFor: (token: string, namespace?: string) => string
  etcd: Part
  apiServer: Part
  /** Undefined unless asked for. */
  controllerManager: Part | undefined
  stop: () => Promise<void>
}>

/** Throws where the programs cannot be had: give tests `{ skip: await cannotRun() }` from build.ts first. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const binaries = await ensureBinaries()
  if ('missing' in binaries) throw new Error(binaries.missing)
  const folder = temporaryFolder('cluster')
  const host = bridgeAddress() ?? '127.0.0.1'
  const [client, peer, secure] = await freePorts(3)
  const url = `https://${host}:${secure}`
  const adminToken = randomBytes(24).toString('hex')
  const file = (name: string, content = '') => {
    const path = join(folder, name)
    if (content) writeFileSync(path, content, { mode: 0o600 })
    return path
  }

  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = file('sa.key', keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  const pub = file('sa.pub', keys.publicKey.export({ type: 'spki', format: 'pem' }).toString())
  const tokens = file('tokens.csv', `${adminToken},admin,admin,"system:masters"\n`)
  const certificates = join(folder, 'certificates')
  const caFile = join(certificates, 'apiserver.crt')

  if (options.etcdData !== undefined) cpSync(options.etcdData, join(folder, 'etcd'), { recursive: true })
  const etcd = new Process({
    name: 'etcd', command: binaries.etcd, log: file('etcd.log'), args: [
      '--data-dir', join(folder, 'etcd'), ...(options.fsync ? [] : ['--unsafe-no-fsync']),
      '--listen-client-urls', `http://127.0.0.1:${client}`, '--advertise-client-urls', `http://127.0.0.1:${client}`,
      '--listen-peer-urls', `http://127.0.0.1:${peer}`, '--initial-advertise-peer-urls', `http://127.0.0.1:${peer}`,
      '--initial-cluster', `default=http://127.0.0.1:${peer}`, '--log-level', 'warn',
    ],
  })
  const inside = host !== '127.0.0.1'
  const apiServer = new Process({
    name: 'kube-apiserver', command: binaries.kubeApiserver, log: file('kube-apiserver.log'), args: [
      `--etcd-servers=http://127.0.0.1:${client}`, `--cert-dir=${certificates}`, `--secure-port=${secure}`,
      `--bind-address=${inside ? '0.0.0.0' : host}`, `--advertise-address=${inside ? host : '192.0.2.1'}`,
      '--endpoint-reconciler-type=none', '--service-cluster-ip-range=10.96.0.0/16',
      '--service-account-issuer=https://kubernetes.default.svc', `--service-account-key-file=${pub}`,
      `--service-account-signing-key-file=${key}`, `--token-auth-file=${tokens}`, '--authorization-mode=Node,RBAC',
      '--allow-privileged=true', '--profiling=false', '--kubelet-preferred-address-types=InternalIP',
      // Without the controller manager nothing makes the `default` service accounts that this plugin insists on.
      ...(options.controllerManager ? [] : ['--disable-admission-plugins=ServiceAccount']),
      ...options.apiServerArgs ?? [],
    ],
  })

  const access = () => new Api({ url, ca: readFileSync(caFile, 'utf8'), token: adminToken })
  const kubeconfigFor = (token: string, namespace = 'default') =>
    file(`kubeconfig-${randomBytes(4).toString('hex')}`, JSON.stringify({
      apiVersion: 'v1', kind: 'Config', 'current-context': 'test',
      clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority': caFile } }],
      users: [{ name: 'test', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
    }))
  const kubeconfig = kubeconfigFor(adminToken)
  const controllerManager = new Process({
    name: 'kube-controller-manager', command: binaries.kubeControllerManager, log: file('kube-controller-manager.log'),
    args: [
      `--kubeconfig=${kubeconfig}`, `--service-account-private-key-file=${key}`, `--root-ca-file=${caFile}`,
      '--use-service-account-credentials=false', '--secure-port=0', '--leader-elect=false', '--profiling=false',
      // Node leases are not renewed here: its verdict would be that every node is lost.
      '--controllers=*,-node-lifecycle-controller', '--concurrent-endpoint-syncs=5',
      '--endpointslice-updates-batch-period=0s', '--endpoint-updates-batch-period=0s',
    ],
  })

  const etcdPart = part(etcd, async () => {
    const response = await fetch(`http://127.0.0.1:${client}/health`)
    return response.ok && (await response.json() as { health?: string }).health === 'true'
  })
  const apiServerPart = part(apiServer, async () => {
    const api = access()
    try {
      await api.get('/readyz')
      return (await api.find('/api/v1/namespaces/default')) !== undefined
    } finally {
      api.close()
    }
  })
  const env = {
    ...process.env, KUBECONFIG: kubeconfig, KUBECACHEDIR: join(folder, 'kubectl-cache'),
    HELM_CACHE_HOME: join(folder, 'helm/cache'), HELM_CONFIG_HOME: join(folder, 'helm/config'),
    HELM_DATA_HOME: join(folder, 'helm/data'),
  }

  await etcdPart.start()
  await apiServerPart.start()
  const api = access()
  const controllers = options.controllerManager
    ? part(controllerManager, async () =>
      (await api.find('/api/v1/namespaces/default/serviceaccounts/default')) !== undefined)
    : undefined
  await controllers?.start()

  const kubectl: ControlPlane['kubectl'] = (...args) => runProgram(binaries.kubectl, args, env)
  return {
    url, kubeconfig, adminToken, caFile, folder, binaries, api, kubectl, kubeconfigFor,
    etcd: etcdPart, apiServer: apiServerPart, controllerManager: controllers,
    helm: (...args) => runProgram(binaries.helm, args, env),
    apply: (manifests) => {
      const stdin = typeof manifests === 'string'
        ? manifests
        : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: Array.isArray(manifests) ? manifests : [manifests] })
      return kubectl('apply', '--server-side', '--force-conflicts', '-f', '-', { stdin })
    },
    token: async (namespace, serviceAccount, audiences = []) => {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`
      const answer = await api.create(path, {
        apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences, expirationSeconds: 3600 },
      })
      return (answer.status as { token: string }).token
    },
    stop: async () => {
      api.close()
      // Nothing is worth an orderly end: the data folder goes with them.
      await Promise.all([controllerManager.kill(), apiServer.kill(), etcd.kill()])
    },
  }
}

function part(program: Process, answers: () => Promise<boolean>): Part {
  const start = async () => {
    program.start()
    await until(`${program.name} to answer`, async () => {
      if (!program.running) throw new Error(`${program.name} is not running`)
      return await answers()
    }, { timeout: 240_000, every: 30, describe: () => program.tail() })
  }
  const kill = (signal?: NodeJS.Signals) => program.kill(signal)
  return {
    start, kill,
    restart: async () => {
      await kill()
      await start()
    },
    tail: (lines) => program.tail(lines),
    get pid() {
      return program.pid
    },
  }
}

function runProgram(command: string, args: readonly (string | RunOptions)[], env: NodeJS.ProcessEnv): Promise<string> {
  const last = args.at(-1)
  const options: RunOptions = typeof last === 'object' ? last : {}
  const words = args.filter((arg) => typeof arg === 'string')
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, {
      env, cwd: options.cwd, timeout: options.timeout ?? 120_000, stdio: ['pipe', 'pipe', 'pipe'],
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    child.stdin.on('error', () => {})
    child.stdin.end(options.stdin ?? '')
    child.once('error', reject)
    child.once('close', (code, signal) => {
      const stdout = Buffer.concat(out).toString('utf8')
      if (code === 0) resolve(stdout)
      else {
        const stderr = Buffer.concat(err).toString('utf8')
        reject(new Error(`${command} ${words.join(' ')}: ${signal ?? code}\n${stderr}${stdout}`))
      }
    })
  })
}
