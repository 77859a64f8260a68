import type { Shared } from './cache/shared.ts'
import type { ConnectionLimits } from './door/admission.ts'
import type { CertificateFiles } from './door/certificates.ts'
import type { PaceLimits } from './door/pace.ts'
import type { FilterDeps } from './filters/filter.ts'
import type { Limiter } from './limits/limiter.ts'
import type { GeoOptions } from './pipeline/geo.ts'
import type { Networks } from './pipeline/networks.ts'
import type { Plugins } from './plugins/plugins.ts'
import type { RotateKey } from './portal/portal.ts'
import type { Activate, Prepare } from './store.ts'
import type { PriceList } from './prices/list.ts'
import type { LedgerTarget } from './telemetry/ledger/open.ts'
import type { Kept } from './telemetry/kept.ts'
import type { Log } from './telemetry/log.ts'
import type { TracingSettings } from './telemetry/tracing_settings.ts'
import type { Names } from './upstream/names.ts'
import type { PoolLimits } from './upstream/pool.ts'
import type { Vault } from './vault.ts'
import type { Workers } from './workers/primary.ts'

export type Bind = Readonly<{ host: string; port: number }>

/** `files`: what is shown for names whose routes bring no certificate. `wait`: it opens once there is one to show. */
export type HttpsOptions = Readonly<{ bind: Bind; files?: CertificateFiles; wait?: boolean }>

export type ProxyOptions = Readonly<{
  http: Bind
  /** The same over TLS. */
  https?: HttpsOptions
  /** Where sidecars come in: the public port over TLS, for those whose certificate the authority of `files` has signed. */
  sidecars?: Readonly<{ bind: Bind; files: Required<CertificateFiles> }> | undefined
  admin?: Bind
  health?: Bind
  log: Log
  /**
   * Called before the public port opens: a table that is here already is in force for the first request. `settled`
   * resolves once the last one is in force in all workers.
   */
  boot: (activate: Activate, settled?: () => Promise<void>, prepare?: Prepare) => Promise<void>
  /** It is not ready while this says so. */
  waits?: (() => boolean) | undefined
  /** Seconds since a controller last confirmed the table in force. */
  tableAge: () => number
  limits?: PoolLimits
  /** Where the credentials and secrets of the table in force are found. */
  vault?: Vault
  filterDeps?: Partial<FilterDeps>
  /** Follows where the names of URLs lead; it ends with the proxy. */
  names?: Names
  /** Where requests are counted; it ends with the proxy. Without it, in this process. */
  limiter?: Limiter
  /** How requests are traced; undefined: they are not. */
  tracing?: TracingSettings | undefined
  /** Where proxies share the answers that they keep; it ends with the proxy. */
  answers?: Shared
  /** The operator's own filters; they end with the proxy. */
  plugins?: Plugins
  connections?: ConnectionLimits
  /** Where it is, as the endpoints tell it of themselves. */
  zone?: string | undefined
  /** Hops whose word is taken for where a request came from; they may bring many clients each. */
  trusted?: Networks | undefined
  /** Where callers are: by a database, or by a header of trusted hops. */
  geo?: GeoOptions | undefined
  pace?: PaceLimits
  /** File of the audit log; without it, its records stand in the log. */
  audit?: string | undefined
  /** What its records have beside. */
  kept?: Kept | undefined
  /** Without it there are no usage records, and no answer waits for one. */
  ledger?: LedgerTarget | undefined
  /** What requests cost. */
  prices?: PriceList | undefined
  /** Where the log of predictions goes, a file or a URL; without it, only statistics are made of them. */
  predictions?: string | undefined
  /** The pages of a key's holder, at /portal. */
  portal?: boolean | undefined
  /** Gives the holder of a key another one. */
  rotate?: RotateKey | undefined
  /** Processes that the public ports are shared by, this one among them. */
  processes?: number | undefined
  /** They have the public ports, and this process has none. */
  workers?: Workers | undefined
  /** Ports that no call of the gateway's own may lead to, besides its own. */
  closed?: readonly number[]
  /** A port is open; absent: it stands in the log. */
  announce?: (name: string, url: string) => void
}>
