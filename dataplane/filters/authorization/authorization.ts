import { compileCondition, type Condition } from '../../../table/expression.ts'
import type { Permission } from '../../../table/principal.ts'
import { modelAsked } from '../../pipeline/asked.ts'
import { failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { ExchangeFacts } from '../../pipeline/facts.ts'
import { anonymous, principalHolds, type Principal } from '../../pipeline/principal.ts'
import type { Filter, Outcome } from '../filter.ts'

export const authorization: Filter = {
  name: 'authorization',
  build({ rule }) {
    if (rule.authorization === undefined) return undefined
    const permissions = rule.authorization.map(build)
    return function authorize(exchange) {
      const caller = exchange.principal ?? anonymous
      // What needs the model comes last: it may be in the body, which is then read.
      const cheap = permissions.find(({ needsModel, allows }) => !needsModel && allows(exchange, caller, ''))
      if (cheap !== undefined) return allowed(exchange, cheap)
      const rest = permissions.filter(({ needsModel, mayAllow }) => needsModel && mayAllow(exchange, caller))
      if (rest.length === 0) return forbidden
      const model = modelAsked(exchange)
      const decide = (asked: Awaited<typeof model>): Outcome => {
        if (typeof asked !== 'string') return asked
        const found = rest.find(({ allows }) => allows(exchange, caller, asked))
        return found === undefined ? forbidden : allowed(exchange, found)
      }
      return model instanceof Promise ? model.then(decide) : decide(model)
    }
  },
}

const forbidden = failure('forbidden', 'The caller may not do this.')

type Built = Readonly<{
  at: number
  needsModel: boolean
  /** Whether it could, if the model is one of its models. */
  mayAllow: (exchange: Exchange, caller: Principal) => boolean
  allows: (exchange: Exchange, caller: Principal, model: string) => boolean
}>

function build({ consumers, groups, tiers, scopes, models, methods, when }: Permission, index: number): Built {
  const condition = when === undefined ? undefined : conditionOf(when)
  const who = { consumers, groups, tiers, claims: [] }
  const needsModel = models.length > 0 || condition?.readsModel === true
  const mayAllow = (exchange: Exchange, caller: Principal) =>
    principalHolds(who, caller)
    && (scopes.length === 0 || scopes.some((scope) => caller.scopes.includes(scope)))
    && (methods.length === 0 || methods.includes(exchange.method))
  return {
    at: index + 1,
    needsModel,
    mayAllow,
    allows: (exchange, caller, model) =>
      mayAllow(exchange, caller)
      && (models.length === 0 || models.includes(model))
      && (condition === undefined || condition.holds({ request: new ExchangeFacts(exchange, needsModel ? model : undefined), principal: caller })),
  }
}

/** The controller has compiled it already; where the two disagree, it holds for nobody. */
function conditionOf(when: string): Condition {
  const condition = compileCondition(when)
  return 'fault' in condition ? { holds: () => false, readsModel: false, readsPrincipal: false } : condition
}

function allowed(exchange: Exchange, { at }: Built): undefined {
  exchange.explaining?.set('authorization', `permission ${at} allows it`)
}
