import type { Path } from '../sources/files-place.ts'

/** Something that the manifest made of a graph does not say as the graph did, and where. An error: it cannot be made. */
export type Told = Readonly<{ path: Path; severity: 'error' | 'warning'; message: string }>

export type Step = Readonly<{
  path: Path
  name: string | undefined
  target: Readonly<{ node: string } | { service: string } | { url: string }>
  data: string
  weight: number | undefined
  condition: string
  dependency: 'Hard' | 'Soft' | undefined
}>

export type GraphNode = Readonly<{ path: Path; type: 'Sequence' | 'Splitter' | 'Ensemble' | 'Switch'; steps: readonly Step[] }>

export type Graph = Readonly<{
  name: string
  namespace: string
  nodes: ReadonlyMap<string, GraphNode>
  /** Seconds, of the whole and of one call. */
  timeout: number | undefined
  callTimeout: number | undefined
}>

type Json = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const textOf = (value: unknown) => (typeof value === 'string' ? value : '')

const types = ['Sequence', 'Splitter', 'Ensemble', 'Switch'] as const

/** About the pods of KServe's router, in whose place the gateway stands. */
const ofRouter = new Set(['affinity', 'maxReplicas', 'minReplicas', 'nodeName', 'nodeSelector', 'resources', 'scaleMetric', 'scaleTarget', 'serviceAccountName', 'tolerations'])

/** Reads an InferenceGraph (serving.kserve.io/v1alpha1). Undefined where something of it cannot be read: `told` says what. */
export function readGraph(object: unknown, told: Told[]): Graph | undefined {
  const error = (path: Path, message: string): void => { told.push({ path, severity: 'error', message }) }
  const { metadata, spec } = isObject(object) ? object : {}
  const name = textOf(isObject(metadata) ? metadata['name'] : undefined)
  if (!isObject(spec) || !isObject(spec['nodes']) || name === '') {
    error(['spec'], 'an InferenceGraph has metadata.name and spec.nodes')
    return undefined
  }
  readMetadata(metadata, told)
  const nodes = new Map<string, GraphNode>()
  for (const [node, value] of Object.entries(spec['nodes'])) nodes.set(node, readNode(value, ['spec', 'nodes', node], told))
  let callTimeout: number | undefined
  for (const [field, value] of Object.entries(spec)) {
    if (field === 'nodes' || field === 'timeout') continue
    if (field === 'routerTimeouts' && isObject(value)) {
      for (const [timeout, seconds] of Object.entries(value)) {
        if (timeout === 'serviceClient' && typeof seconds === 'number') callTimeout = seconds
        else told.push({ path: ['spec', field, timeout], severity: 'warning', message: 'is about connections to KServe\'s router, in whose place the gateway stands; it is left out' })
      }
    } else if (ofRouter.has(field)) told.push({ path: ['spec', field], severity: 'warning', message: 'is about the pods of KServe\'s router, in whose place the gateway stands; it is left out' })
    else error(['spec', field], 'is not known here, and leaving it out may change what the graph does')
  }
  const timeout = spec['timeout']
  return {
    name, namespace: textOf(isObject(metadata) ? metadata['namespace'] : undefined) || 'default', nodes,
    timeout: typeof timeout === 'number' ? timeout : undefined, callTimeout,
  }
}

function readMetadata(metadata: unknown, told: Told[]): void {
  for (const field of ['labels', 'annotations']) {
    const value = isObject(metadata) ? metadata[field] : undefined
    if (isObject(value) && Object.keys(value).length > 0) {
      told.push({ path: ['metadata', field], severity: 'warning', message: `are left out: ${Object.keys(value).join(', ')}` })
    }
  }
}

function readNode(value: unknown, path: Path, told: Told[]): GraphNode {
  const node = isObject(value) ? value : {}
  const type = types.find((one) => one === node['routerType'])
  if (type === undefined) told.push({ path: [...path, 'routerType'], severity: 'error', message: `is one of ${types.join(', ')}` })
  for (const field of Object.keys(node)) if (field !== 'routerType' && field !== 'steps') told.push({ path: [...path, field], severity: 'error', message: 'is not known here' })
  const steps = Array.isArray(node['steps']) ? node['steps'].map((step: unknown, at) => readStep(step, [...path, 'steps', at], told)) : []
  if (steps.length === 0) told.push({ path, severity: 'error', message: 'has no steps' })
  return { path, type: type ?? 'Sequence', steps }
}

const known = new Set(['name', 'nodeName', 'serviceName', 'serviceUrl', 'data', 'weight', 'condition', 'dependency'])

function readStep(value: unknown, path: Path, told: Told[]): Step {
  const step = isObject(value) ? value : {}
  const error = (message: string, field?: string): void => { told.push({ path: field === undefined ? path : [...path, field], severity: 'error', message }) }
  for (const field of Object.keys(step)) if (!known.has(field)) error('is not known here, and leaving it out may change what the graph does', field)
  const [node, service, url] = ['nodeName', 'serviceName', 'serviceUrl'].map((field) => textOf(step[field]))
  // KServe resolves a name to its address, and keeps both.
  const target = node ? { node } : service ? { service } : { url: url ?? '' }
  if ([node, service || url].filter(Boolean).length !== 1) error('has exactly one of nodeName, serviceName and serviceUrl')
  const { weight, dependency } = step
  if (weight !== undefined && !(typeof weight === 'number' && Number.isInteger(weight) && weight >= 0 && weight <= 100)) error('is a whole number from 0 to 100', 'weight')
  if (dependency !== undefined && dependency !== 'Hard' && dependency !== 'Soft') error('is Hard or Soft', 'dependency')
  return {
    path, name: textOf(step['name']) || undefined, target, data: textOf(step['data']), weight: typeof weight === 'number' ? weight : undefined,
    condition: textOf(step['condition']), dependency: dependency === 'Hard' || dependency === 'Soft' ? dependency : undefined,
  }
}
