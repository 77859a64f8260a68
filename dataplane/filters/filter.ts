import type { Route, Rule } from '../../table/route.ts'
import type { Caches } from '../cache/caches.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { Mirrors } from '../mirror/mirrors.ts'
import type { PriceList } from '../prices/list.ts'
import type { Failure } from '../pipeline/errors.ts'
import type { Exchange, Way } from '../pipeline/exchange.ts'
import type { Authenticators } from '../pipeline/principal.ts'
import type { Plugins } from '../plugins/plugins.ts'
import type { Predictions } from '../predictions/predictions.ts'
import type { Audit } from '../telemetry/audit.ts'
import type { LimitTally } from '../telemetry/limits.ts'
import type { Measurements } from '../telemetry/measurements.ts'
import type { CallVariant } from '../upstream/call.ts'
import type { BodyChecks } from '../validation/body_checks.ts'
import type { Vault } from '../vault.ts'
import type { BackendTokens } from './backend_credentials/tokens.ts'

/** Undefined lets it pass; a way answers it in place of the backends. */
export type Outcome = Failure | Way | undefined

/**
 * Runs once a request, before a backend is chosen. It answers at once wherever it can: only one that must wait for the
 * network, or for the body, answers with a promise, which never rejects.
 */
export type FilterFunction = (exchange: Exchange) => Outcome | Promise<Outcome>

/** What outlives the tables, and is shared by the rules. */
export type FilterDeps = Readonly<{
  authenticators: Authenticators
  audit: Pick<Audit, 'commit' | 'failing'>
  limiter: Limiter
  limitTally: LimitTally
  measurements: Measurements
  /** Undefined: there is no ledger. */
  metering?: Readonly<{ prices: PriceList | undefined }> | undefined
  mirrors: Mirrors
  predictions: Predictions
  plugins: Plugins
  bodyChecks: BodyChecks
  caches: Caches
  vault: Vault
  backendTokens: BackendTokens
  /** Asks a backend for the gateway itself. */
  call: CallVariant
}>

/**
 * One step of the way in. `build` runs once for each rule of a table and returns a named function, or undefined where
 * the rule does not ask for it: a filter that does not apply costs nothing.
 */
export type Filter = Readonly<{
  name: string
  build(config: Readonly<{ route: Route; rule: Rule }>, deps: FilterDeps): FilterFunction | undefined
}>
