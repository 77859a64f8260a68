import type { ComposeSpec, StepSpec } from '../compile/spec.ts'
import { conditionInCel, type Subject } from './gjson.ts'
import type { Graph, GraphNode, Step, Told } from './spec.ts'
import { targetOf, type ProtocolOf } from './target.ts'

/** What comes of a node or a step, as later expressions see it. */
type Result = Readonly<{
  /** Its answer. */
  value: Subject
  /** CEL that holds where it was entered; undefined: it always is. */
  entered: string | undefined
  /** The same of where it was not. */
  skipped: string | undefined
  /** Its answer is that of the last of its steps that has one. */
  plain: boolean
  /** Where it is entered, there is an answer. */
  certain: boolean
  /** Its steps, by their names here. */
  names: readonly string[]
}>

/** How a node or a step is come to. */
type Way = Readonly<{
  /** The body that it is asked with. */
  input: Subject
  /** CEL that must hold, all of it. */
  guards: readonly string[]
  /** Must be over before. */
  after: readonly string[]
  /** It may fail. */
  optional: boolean
  /** Nodes that it lies in. */
  trail: readonly string[]
}>

/** What is made, and of what. */
type Making = Readonly<{ graph: Graph; protocolOf: ProtocolOf; told: Told[]; steps: StepSpec[]; seen: Set<string>; tosses: { count: number } }>

const request: Subject = { cel: 'request.body' }
const none: Result = { value: { cel: 'null' }, entered: undefined, skipped: undefined, plain: true, certain: true, names: [] }
/** What the schema of a composition takes. */
const stepsMax = 16
const textMax = 2048

/** The calls of a graph, from its root. What cannot be said is told, as an error. */
export function composeOf(graph: Graph, protocolOf: ProtocolOf, told: Told[]): ComposeSpec {
  const making: Making = { graph, protocolOf, told, steps: [], seen: new Set(), tosses: { count: 0 } }
  const { value, plain } = nodeOf('root', ['spec', 'nodes'], { input: request, guards: [], after: [], optional: false, trail: [] }, making)
  for (const [name, { path }] of graph.nodes) if (!making.seen.has(name)) told.push({ path, severity: 'warning', message: 'no step leads here; it is left out' })
  const { steps } = making
  if (steps.length > stepsMax) {
    told.push({ path: ['spec', 'nodes'], severity: 'error', message: `comes to ${steps.length} calls, and a composition has ${stepsMax} at most; give a part of the graph a route of its own` })
  }
  if ([...plain ? [] : [value.cel], ...steps.flatMap(({ input = '', when = '' }) => [input, when])].some(({ length }) => length > textMax)) {
    told.push({ path: ['spec', 'nodes'], severity: 'error', message: `makes an expression of more than ${textMax} characters; give a part of the graph a route of its own` })
  }
  told.push({
    path: ['spec', 'nodes'], severity: 'warning',
    message: 'where a call fails, KServe gives its error to the next step, or to the caller with its status; the route answers 502 step_failed, and leaves out what nothing needs',
  })
  return { steps, ...(!plain && { output: value.cel }) }
}

function nodeOf(name: string, path: Step['path'], way: Way, making: Making): Result {
  const node = making.graph.nodes.get(name)
  const loops = way.trail.includes(name)
  if (node === undefined || loops) {
    making.told.push({ path, severity: 'error', message: loops ? `leads back to itself: ${[...way.trail, name].join(' → ')}` : `names the node ${JSON.stringify(name)}, and there is none` })
    return none
  }
  making.seen.add(name)
  tellIdle(node, making)
  const inner = { ...way, trail: [...way.trail, name] }
  if (node.type === 'Sequence') return sequence(node, inner, making)
  if (node.type === 'Ensemble') return ensemble(node, inner, making)
  return node.type === 'Switch' ? switched(node, inner, making) : splitter(name, node, inner, making)
}

/** Fields that mean nothing where they stand. */
function tellIdle({ type, steps }: GraphNode, { told }: Making): void {
  for (const { path, weight, condition, data, dependency } of steps) {
    const idle = (field: string, where: string) => told.push({ path: [...path, field], severity: 'warning', message: `means something in ${where} only; it is left out, as KServe does` })
    if (weight !== undefined && type !== 'Splitter') idle('weight', 'a Splitter')
    if (condition !== '' && type !== 'Switch' && type !== 'Sequence') idle('condition', 'a Switch or a Sequence')
    if (data !== '' && type !== 'Sequence') idle('data', 'a Sequence')
    if (dependency !== undefined && (type === 'Splitter' || type === 'Switch')) idle('dependency', 'a Sequence or an Ensemble')
  }
}

function stepOf(step: Step, way: Way, making: Making): Result {
  const { target } = step
  if ('node' in target) return nodeOf(target.node, [...step.path, 'nodeName'], way, making)
  const { graph, steps, told, protocolOf } = making
  const name = nameFor(step, steps)
  const { input, guards, after, optional } = way
  const all = guards.map((guard) => (guards.length > 1 && guard.includes(' || ') ? `(${guard})` : guard)).join(' && ')
  const said = `${input === request ? '' : input.cel} ${all}`
  const unsaid = after.filter((other) => !said.includes(`${stepIn(other)}.`))
  steps.push({
    name,
    ...targetOf(step, graph, protocolOf, told),
    ...(input !== request && { input: input.cel }),
    ...(unsaid.length > 0 && { dependsOn: unsaid.slice(-stepsMax) }),
    ...(all !== '' && { when: all }),
    ...(optional && { onError: 'Skip' }),
    ...(graph.callTimeout !== undefined && { timeout: `${graph.callTimeout}s` }),
  })
  const here = stepIn(name)
  const free = guards.length === 0
  return {
    value: { cel: `${here}.body` }, plain: true, certain: true, names: [name],
    entered: free ? undefined : optional ? `(!${here}.skipped || ${here}.failed)` : `!${here}.skipped`,
    skipped: free ? undefined : optional ? `${here}.skipped && !${here}.failed` : `${here}.skipped`,
  }
}

const stepIn = (name: string) => (name.includes('-') || /^\d/.test(name) ? `steps["${name}"]` : `steps.${name}`)

/** A label of its own, as near as can be to what the graph calls it. */
function nameFor({ name, target }: Step, steps: readonly StepSpec[]): string {
  const given = name ?? ('service' in target ? target.service : 'url' in target && URL.canParse(target.url) ? new URL(target.url).hostname.split('.')[0] : undefined) ?? 'step'
  const label = given.toLowerCase().replaceAll(/[^a-z0-9-]+/g, '-').replaceAll(/^-+|-+$/g, '').slice(0, 55) || 'step'
  for (let at = 1; ; at++) {
    const candidate = at === 1 ? label : `${label}-${at}`
    if (!steps.some((other) => other.name === candidate)) return candidate
  }
}

function sequence({ steps }: GraphNode, way: Way, making: Making): Result {
  const { told } = making
  const warn = ({ path }: Step, field: string, message: string) => told.push({ path: [...path, field], severity: 'warning', message })
  let made: Result | undefined
  let last: Result | undefined
  let conditional = false
  for (const [at, step] of steps.entries()) {
    const next = steps[at + 1]
    const { data, dependency } = step
    if (data !== '' && data !== '$request' && data !== '$response') warn(step, 'data', `KServe's router knows $request and $response, and sends the request for ${JSON.stringify(data)}; so does the route`)
    const condition = step.condition === '' ? undefined : conditionOf(step, last?.value, making)
    if (condition !== undefined && last !== undefined) {
      conditional = true
      warn(step, 'condition', 'where it does not hold, KServe ends there with the answer so far and status 500; the route gives that answer with its own status')
    }
    const idle = next !== undefined && next.data !== '$response' && next.condition === ''
    const guards = last === undefined ? way.guards : last.entered === undefined ? [] : [last.entered]
    const result = stepOf(step, {
      ...way,
      input: data === '$response' && last !== undefined ? last.value : way.input,
      guards: condition === undefined ? guards : [...guards, condition],
      after: last?.names ?? way.after,
      optional: dependency !== 'Hard' && (idle || (next === undefined && way.optional)),
    }, making)
    if (last !== undefined && !result.certain) told.push({ path: step.path, severity: 'warning', message: 'where none of its conditions holds, KServe answers 404; the route gives the answer of the step before' })
    made = made === undefined ? result : {
      ...result,
      value: conditional && result.entered !== undefined ? { cel: `(${result.entered} ? ${result.value.cel} : ${made.value.cel})` } : result.value,
      plain: result.plain && (made.plain || !conditional),
      entered: made.entered, skipped: made.skipped, certain: made.certain,
    }
    last = result
  }
  return made ?? none
}

function conditionOf({ path, condition }: Step, subject: Subject | undefined, { told }: Making): string {
  const error = (message: string): string => {
    told.push({ path: [...path, 'condition'], severity: 'error', message })
    return 'true'
  }
  if (subject === undefined) return error('there is no answer before the first step of a Sequence that it could hold for')
  const said = conditionInCel(condition, subject)
  return 'cel' in said ? said.cel : error(`cannot be said in CEL: ${said.fault}`)
}

function ensemble({ steps }: GraphNode, way: Way, making: Making): Result {
  const results = steps.map((step) => stepOf(step, { ...way, optional: step.dependency !== 'Hard' }, making))
  const members = new Map(results.map(({ value }, at) => [steps[at]?.name ?? String(at), value.cel]))
  const [first] = results
  return { value: { cel: `{${[...members].map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(', ')}}`, members }, entered: first?.entered, skipped: first?.skipped, plain: false, certain: true, names: results.flatMap(({ names }) => names) }
}

/** One of several, the first whose condition holds for what comes in. */
function switched({ steps }: GraphNode, way: Way, making: Making): Result {
  const before: string[] = []
  const results = steps.map((step) => {
    if (step.condition === '') making.told.push({ path: step.path, severity: 'error', message: 'a step of a Switch needs a condition; without one it is never taken' })
    const condition = step.condition === '' ? 'false' : conditionOf(step, way.input, making)
    const result = stepOf(step, { ...way, optional: false, guards: [...way.guards, ...before, condition] }, making)
    before.push(result.skipped ?? 'true')
    return result
  })
  return oneOf(results, way, false)
}

/** One of several, by chance: whoever draws less than the sum of the weights so far. */
function splitter(name: string, { path, steps }: GraphNode, way: Way, making: Making): Result {
  const sum = steps.reduce((total, { weight = 0 }) => total + weight, 0)
  if (sum !== 100) making.told.push({ path, severity: 'error', message: `its weights come to ${sum}, and must to 100` })
  const toss = `toss("${name.replaceAll(/[^\w-]/g, '_')}${making.tosses.count++ === 0 ? '' : `-${making.tosses.count}`}")`
  let from = 0
  const results = steps.flatMap((step) => {
    const to = from + (step.weight ?? 0)
    const bounds = [...(from > 0 ? [`${toss} >= ${from / 100}`] : []), ...(to < 100 ? [`${toss} < ${to / 100}`] : [])]
    if (to === from) {
      making.told.push({ path: [...step.path, 'weight'], severity: 'warning', message: 'is 0, so the step is never taken; it is left out' })
      return []
    }
    from = to
    return [stepOf(step, { ...way, optional: false, guards: [...way.guards, ...bounds] }, making)]
  })
  return oneOf(results, way, true)
}

/** @param certain one of them is taken in any case */
function oneOf(results: readonly Result[], { guards }: Way, certain: boolean): Result {
  const value = results.reduceRight((otherwise, { entered, value: own }) => {
    if (otherwise === '') return certain || entered === undefined ? own.cel : `${entered} ? ${own.cel} : null`
    return entered === undefined ? own.cel : `${entered} ? ${own.cel} : ${otherwise}`
  }, '')
  const entered = guards.length === 0 ? undefined : guards.join(' && ')
  const [only] = results
  return {
    value: results.length === 1 && only !== undefined && certain ? only.value : { cel: `(${value})` },
    entered, skipped: entered === undefined ? undefined : `!(${entered})`,
    plain: results.every(({ plain }) => plain), certain: certain && results.every((one) => one.certain), names: results.flatMap(({ names }) => names),
  }
}
