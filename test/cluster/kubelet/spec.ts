// The parts of a Pod that the kubelet of processes understands. A Pod that needs more is refused aloud by
// `notEmulated`, so that a test never passes because something it relies on was silently ignored.
import type { KubeObject } from '../api.ts'

type Action = Readonly<{
  exec?: { command: string[] }
  httpGet?: HttpGet
  tcpSocket?: { port: number | string }
  sleep?: { seconds: number }
}>

export type HttpGet = Readonly<{
  path?: string
  port: number | string
  host?: string
  scheme?: 'HTTP' | 'HTTPS'
  httpHeaders?: { name: string, value: string }[]
}>

export type Hook = Action

export type Probe = Action & Readonly<{
  initialDelaySeconds?: number
  periodSeconds?: number
  timeoutSeconds?: number
  successThreshold?: number
  failureThreshold?: number
}>

type KeySelector = Readonly<{ name: string, key: string, optional?: boolean }>

type EnvVar = Readonly<{
  name: string
  value?: string
  valueFrom?: {
    fieldRef?: { fieldPath: string }
    secretKeyRef?: KeySelector
    configMapKeyRef?: KeySelector
    resourceFieldRef?: { resource: string, divisor?: string }
  }
}>

type SecurityContext = Readonly<{
  runAsUser?: number
  runAsGroup?: number
  runAsNonRoot?: boolean
  readOnlyRootFilesystem?: boolean
  allowPrivilegeEscalation?: boolean
  capabilities?: { drop?: string[] }
}>

export type ContainerSpec = Readonly<{
  name: string
  image: string
  command?: string[]
  args?: string[]
  workingDir?: string
  env?: EnvVar[]
  envFrom?: { prefix?: string, configMapRef?: Optional, secretRef?: Optional }[]
  ports?: { name?: string, containerPort: number }[]
  resources?: { limits?: Record<string, string>, requests?: Record<string, string> }
  volumeMounts?: { name: string, mountPath: string, subPath?: string, readOnly?: boolean }[]
  startupProbe?: Probe
  readinessProbe?: Probe
  livenessProbe?: Probe
  lifecycle?: { preStop?: Hook, postStart?: Hook }
  securityContext?: SecurityContext
  restartPolicy?: string
  terminationMessagePolicy?: string
}>

type Optional = Readonly<{ name: string, optional?: boolean }>
export type Item = Readonly<{ key: string, path: string, mode?: number }>
type FieldItem = Readonly<{ path: string, fieldRef?: { fieldPath: string } }>

export type ProjectedSource = Readonly<{
  secret?: Optional & { items?: Item[] }
  configMap?: Optional & { items?: Item[] }
  downwardAPI?: { items?: FieldItem[] }
  serviceAccountToken?: { audience?: string, expirationSeconds?: number, path: string }
}>

export type VolumeSpec = Readonly<{
  name: string
  emptyDir?: object
  hostPath?: { path: string }
  secret?: { secretName: string, optional?: boolean, items?: Item[], defaultMode?: number }
  configMap?: Optional & { items?: Item[], defaultMode?: number }
  downwardAPI?: { items?: FieldItem[], defaultMode?: number }
  projected?: { sources?: ProjectedSource[], defaultMode?: number }
}>

export type PodSpec = Readonly<{
  nodeName?: string
  hostname?: string
  serviceAccountName?: string
  restartPolicy?: 'Always' | 'OnFailure' | 'Never'
  terminationGracePeriodSeconds?: number
  containers: ContainerSpec[]
  initContainers?: ContainerSpec[]
  volumes?: VolumeSpec[]
  securityContext?: SecurityContext & { fsGroup?: number, supplementalGroups?: number[] }
  readinessGates?: { conditionType: string }[]
  hostNetwork?: boolean
  shareProcessNamespace?: boolean
}>

export type PodObject = KubeObject & {
  metadata: { namespace: string, uid: string }
  spec: PodSpec
}

const volumeKinds = ['name', 'emptyDir', 'hostPath', 'secret', 'configMap', 'downwardAPI', 'projected']
const actions = ['exec', 'httpGet', 'tcpSocket', 'sleep']

/** What this Pod asks for and would not get. */
export function notEmulated({ spec }: PodObject): string[] {
  const found: string[] = []
  if (spec.hostNetwork) found.push('hostNetwork')
  if (spec.shareProcessNamespace) found.push('shareProcessNamespace')
  for (const volume of spec.volumes ?? []) {
    const unknown = Object.keys(volume).filter((kind) => !volumeKinds.includes(kind))
    found.push(...unknown.map((kind) => `volume ${volume.name}: ${kind}`))
  }
  for (const container of [...spec.initContainers ?? [], ...spec.containers]) {
    const { startupProbe, readinessProbe, livenessProbe, lifecycle } = container
    for (const action of [startupProbe, readinessProbe, livenessProbe, lifecycle?.preStop, lifecycle?.postStart]) {
      if (action && !actions.some((kind) => kind in action)) found.push(`${container.name}: ${JSON.stringify(action)}`)
    }
    for (const { name, valueFrom } of container.env ?? []) {
      if (valueFrom?.resourceFieldRef) found.push(`${container.name}: env ${name} from resourceFieldRef`)
    }
  }
  return found
}
