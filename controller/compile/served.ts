import type { ServedModel } from '../../table/resilience.ts'
import type { Problem } from '../sources/snapshot.ts'
import { invalid, quote } from './problems.ts'
import type { CalleeRef, MatchSpec } from './spec.ts'

type Named = Readonly<{ protocol?: ServedModel['protocol']; base?: string; name?: string; version?: string }>

/** Paths in which a protocol shows itself, and some its model. A verb ends the name of V1. */
const forms: readonly (readonly [ServedModel['protocol'], RegExp])[] = [
  ['V2', /^\/v2(?:\/models(?:\/(?<name>[^/]+)(?:\/versions\/(?<version>[^/]+))?)?)?(?:\/|$)/],
  ['OpenAI', /^(?<base>\/openai)?\/v1\/(?:chat\/completions|completions|embeddings|responses|rerank|moderations|audio|images)(?:\/|$)/],
  ['OpenAI', /^(?<base>\/openai)(?:\/v1)?(?:\/|$)/],
  ['OpenAI', /^\/v1\/?$/],
  ['V1', /^\/v1\/models\/(?<name>[^/]+?)(?:\/versions\/(?<version>[^/:]+))?(?::(?:predict|explain|classify|regress))?(?:\/|$)/],
  ['GRPC', /^\/inference\.GRPCInferenceService(?:\/|$)/],
]

/** The model that a variant's endpoints must have ready, and how that is asked. Undefined, with a problem: nobody can tell. */
export function servedModel(ref: CalleeRef, matches: readonly MatchSpec[], place: string, problems: Problem[]): ServedModel | undefined {
  const named = matches.map(namedBy)
  const names = new Set(named.flatMap(({ name }) => name ?? []))
  const versions = new Set(named.flatMap(({ version }) => version ?? []))
  const first = named.find(({ protocol }) => protocol !== undefined)
  const refuse = (why: string): undefined => void problems.push(invalid(`${place}.model.name`, `${why}, and health.active of type Model asks for it`))
  const spoken = ref.protocol === 'Passthrough' ? undefined : ref.protocol
  const { protocol = first?.protocol, base } = spoken === undefined || spoken === first?.protocol ? first ?? {} : { protocol: spoken }
  if (protocol === undefined) {
    return refuse('the paths of this rule do not show which protocol the model is asked in (/v1/models, /v2/models, an OpenAI path, /inference.GRPCInferenceService)')
  }
  if (ref.model?.name === undefined && names.size > 1) return refuse(`the rule names several models (${[...names].slice(0, 4).map(quote).join(', ')}); say here which is this variant's`)
  const name = ref.model?.name ?? [...names][0]
  if (protocol === 'OpenAI') return { protocol, ...(name !== undefined && { name }), ...(base !== undefined && { base }) }
  if (name === undefined) return refuse('the rule names no model; name it here or in a match')
  const version = ref.model?.version ?? (versions.size === 1 ? [...versions][0] : undefined)
  return { protocol, name, ...(version !== undefined && { version }) }
}

function namedBy({ path, model }: MatchSpec): Named {
  const written = path === undefined || path.type === 'RegularExpression' ? undefined : path.value
  for (const [protocol, form] of forms) {
    const found = form.exec(written ?? '')
    if (found === null) continue
    const { name: inPath, version: versionInPath, base } = found.groups ?? {}
    const name = model?.name ?? decoded(inPath)
    const version = model?.version ?? decoded(versionInPath)
    return { protocol, ...(base !== undefined && { base }), ...(name !== undefined && { name }), ...(version !== undefined && { version }) }
  }
  return { ...(model?.name !== undefined && { name: model.name }), ...(model?.version !== undefined && { version: model.version }) }
}

function decoded(element: string | undefined): string | undefined {
  if (element === undefined) return undefined
  try {
    return decodeURIComponent(element)
  } catch {
    return undefined
  }
}
