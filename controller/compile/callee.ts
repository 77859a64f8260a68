import type { Target, Variant } from '../../table/route.ts'
import { compileCredentials } from './backend-access.ts'
import { type BackendFound, compileBackend } from './backends.ts'
import { invalid } from './problems.ts'
import type { CalleeRef } from './spec.ts'
import type { BackendContext } from './targets.ts'

/** What is called, and how; `place` is where the reference stands. */
export function compileCallee(ref: CalleeRef, place: string, context: BackendContext, found: BackendFound): Pick<Variant, 'target' | 'credentials' | 'model' | 'protocol'> {
  const { needs, problems } = found
  const { target: resolved, source } = compileBackend(ref, place, context, found)
  if (source) needs.sets.push({ source, place })
  const credentials = ref.credentials && compileCredentials(ref.credentials, `${place}.credentials`, context, found)
  // A backend that wants a credential must not get the request without it.
  const target: Target =
    credentials && 'why' in credentials ? { kind: 'unresolved', why: `RefNotPermitted: ${credentials.why}` } : resolved
  for (const part of ['name', 'version'] as const) {
    // It becomes an element of the path that is asked for.
    if (/^\.{1,2}$/.test(ref.model?.[part] ?? '')) {
      problems.push(invalid(`${place}.model.${part}`, 'cannot stand in a path; . and .. are no names'))
    }
  }
  const { protocol = 'Passthrough' } = ref
  return {
    target,
    ...(credentials && 'value' in credentials && { credentials: credentials.value }),
    ...(ref.model === undefined ? {} : { model: modelOf(ref.model) }),
    ...(protocol !== 'Passthrough' && { protocol }),
  }
}

function modelOf({ name, version }: NonNullable<CalleeRef['model']>): NonNullable<Variant['model']> {
  return { ...(name === undefined ? {} : { name }), ...(version === undefined ? {} : { version }) }
}
