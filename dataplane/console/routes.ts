import type { Look, RouteLine } from '../../table/console.ts'
import type { Match, Rule, Target } from '../../table/route.ts'
import { Best, finder } from '../../console/best.ts'
import type { Built } from '../pipeline/route.ts'
import type { Sliced } from '../sliced.ts'

/** Millionths of a rule. */
const WHOLE = 1_000_000

/** The table in force, route by route. */
export function* routesOf(look: Look, routes: Iterable<Built>): Sliced<Readonly<{ total: number; offset: number; items: RouteLine[] }>> {
  const best = new Best<Built>(look)
  const finds = finder(look.search)
  for (const built of routes) {
    const { route } = built
    const words = look.search === '' ? [] : route.rules.flatMap(({ name, matches, variants }) => [name, ...matches.map(wordsOf), ...variants.map((one) => one.name)])
    if (finds(route.id, ...route.hostnames, ...words)) best.add(built, 0, route.id)
    yield
  }
  return { total: best.total, offset: look.offset, items: best.page(look).map(lineOf) }
}

function lineOf({ route: { id, hostnames, generation, created, rules }, rules: built }: Built): RouteLine {
  return {
    route: id, hostnames: [...hostnames], generation, created,
    rules: rules.map(({ name, matches, variants, compose }: Rule, i) => ({
      rule: name,
      matches: matches.map(wordsOf),
      filters: [...built[i]?.filterNames ?? [], ...(compose === undefined ? [] : ['compose'])],
      variants: variants.map(({ name, weight, priority, target }) => ({ variant: name, weight: weight / WHOLE, priority, target: targetWords(target) })),
    })),
  }
}

/** `POST /v2/models/fraud… header x-team`: what a request must be like, as short as it can be said. */
function wordsOf({ path, method, headers, query, model, body = [], sources = [], principal, countries = [], when }: Match): string {
  const kinds = { Exact: path.value, Prefix: `${path.value === '/' ? '' : path.value}/…`, Regex: `~ ${path.value}` }
  return [
    ...(method === undefined ? [] : [method]), kinds[path.type],
    ...headers.map(({ name }) => `header ${name}`), ...query.map(({ name }) => `query ${name}`),
    ...(model === undefined ? [] : [`model ${model.name}${model.version === undefined ? '' : `:${model.version}`}${model.type === 'Prefix' ? '…' : ''}`]),
    ...body.map(({ pointer }) => `body ${pointer}`), ...(sources.length === 0 ? [] : [`from ${sources.join(', ')}`]),
    ...(principal === undefined ? [] : ['caller']), ...(countries.length === 0 ? [] : [`in ${countries.join(', ')}`]),
    ...(when === undefined ? [] : [`when ${when}`]),
  ].join(' ')
}

function targetWords(target: Target): string {
  return target.kind === 'endpoints' ? target.set : target.kind === 'url' ? target.url : `unresolved: ${target.why}`
}
