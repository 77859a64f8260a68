import { changeHeaders, outcomeOf } from '../../plugins/applied.ts'
import type { View } from '../../plugins/messages.ts'
import type { Fault } from '../../plugins/plugin-thread.ts'
import type { PluginUse, Plugins } from '../../plugins/plugins.ts'
import { readBody, readLimit } from '../../pipeline/body.ts'
import { failure, requestTooLarge, type Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { removeHeader } from '../../pipeline/headers.ts'
import type { BuiltRule } from '../../pipeline/rule.ts'
import { isPlain, unpacked } from '../../protocols/encodings.ts'
import { Served } from '../../upstream/served.ts'
import type { Filter, Outcome } from '../filter.ts'
import { watch } from './answers.ts'
import { causeOf, pluginFailed } from './failed.ts'

/** Gives a request to the plugins of its rule, one after the other. */
export const plugins: Filter = {
  name: 'plugins',
  build({ route, rule }, deps) {
    if (rule.plugins === undefined || rule.plugins.length === 0) return undefined
    const uses = rule.plugins.map(({ name, config }) => deps.plugins.use(name, { route: route.id, rule: rule.name, config }))
    return async function askPlugins(exchange): Promise<Outcome> {
      if (exchange.explaining !== undefined) {
        exchange.explaining.set('plugins', `not asked: ${uses.map(({ name }) => name).join(', ')}`)
        return undefined
      }
      for (const use of uses) {
        const outcome = await ask(exchange, use, deps.plugins)
        if (outcome !== undefined || exchange.ended) return outcome
      }
      return undefined
    }
  },
}

async function ask(exchange: Exchange, use: PluginUse, { tally }: Plugins): Promise<Outcome> {
  const { rule } = exchange
  const thread = use.thread()
  if (rule === undefined || thread === undefined) return failed(exchange, use, { reason: 'gone', why: 'it is not loaded' })
  const { onError } = thread.declared
  const faulty = (fault: Fault): Outcome => {
    tally.count(use.name, fault.reason)
    return onError === 'Skip' ? skipped(exchange, use, fault) : failed(exchange, use, fault)
  }
  let unreadable: Failure | undefined
  const { id, result } = await thread.request(use.key, viewOf(exchange, rule), async () => {
    const body = await plainBody(exchange)
    if (!('code' in body)) return body
    unreadable = body
    return undefined
  })
  if (exchange.ended || 'why' in result || result.watches === 'nothing') thread.end(id)
  if (exchange.ended) return undefined
  // What is wrong with the request is not the plugin's fault.
  if ('why' in result) return unreadable ?? faulty(result)
  const said = outcomeOf(result.outcome)
  const wrong = typeof said === 'string' ? said : changeHeaders(exchange.received.headers, result.headers)
  if (wrong !== undefined || typeof said === 'string') {
    if (result.watches !== 'nothing') thread.end(id)
    return faulty({ reason: 'error', why: wrong ?? '' })
  }
  if (result.body !== undefined) {
    exchange.body = Buffer.from(result.body.buffer, result.body.byteOffset, result.body.byteLength)
    exchange.members = undefined
    removeHeader(exchange.received.headers, 'content-encoding')
  }
  const variant = rule.variants.find(({ name }) => name === result.variant)
  if (variant !== undefined) exchange.variant = variant
  if (result.watches !== 'nothing') watch(exchange, { id, thread, use, tally, whole: result.watches === 'body' })
  tally.count(use.name, said === undefined ? 'passed' : 'code' in said ? 'refused' : 'answered')
  return said === undefined || 'code' in said ? said : new Served(exchange, rule, said)
}

function viewOf(exchange: Exchange, rule: BuiltRule): View {
  const { principal, received } = exchange
  return {
    requestId: exchange.requestId,
    method: exchange.method,
    host: exchange.host,
    path: exchange.path,
    query: received.query,
    clientAddress: exchange.clientAddress,
    principal: principal && { consumer: principal.consumer, groups: principal.groups, tier: principal.tier, scopes: principal.scopes },
    model: exchange.model()?.name,
    variants: rule.variants.map(({ name }) => name),
    headers: received.headers,
  }
}

/** The body, unpacked: what a filter looks for must not hide in a packed one. */
async function plainBody(exchange: Exchange): Promise<Buffer | Failure> {
  const body = await readBody(exchange)
  const encoding = exchange.header('content-encoding')
  if ('code' in body || encoding === undefined || isPlain(encoding)) return body
  const max = readLimit(exchange.rule?.requestMax ?? Number.POSITIVE_INFINITY)
  const plain = await unpacked(body, encoding, max)
  if (typeof plain !== 'string') return plain
  return plain === 'too_large' ? requestTooLarge(max) : packed
}

const packed = failure('invalid_request', 'The body of the request is packed in a way that cannot be read here.')

function failed(exchange: Exchange, { name }: PluginUse, { why }: Fault): Outcome {
  exchange.cause = causeOf(name, why)
  return pluginFailed
}

function skipped(exchange: Exchange, { name }: PluginUse, { why }: Fault): undefined {
  exchange.cause = causeOf(name, why)
  return undefined
}
