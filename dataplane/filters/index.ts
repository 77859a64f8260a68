import { audit } from './audit/audit.ts'
import { auth } from './auth/auth.ts'
import { authorization } from './authorization/authorization.ts'
import { cors } from './cors/cors.ts'
import { cache } from './cache/cache.ts'
import type { Filter } from './filter.ts'
import { forwarded } from './forwarded/forwarded.ts'
import { loadReport } from './load_report/load_report.ts'
import { measure } from './measure/measure.ts'
import { mirror } from './mirror/mirror.ts'
import { plugins } from './plugins/plugins.ts'
import { promptPrefix } from './prompt_prefix/prompt_prefix.ts'
import { rateLimit } from './rate_limit/rate_limit.ts'
import { requestId } from './request_id/request_id.ts'
import { transform } from './transform/transform.ts'

/** Every filter, in the order in which a request meets them. */
export const filters: readonly Filter[] = [requestId, cors, audit, forwarded, auth, authorization, rateLimit, transform, plugins, cache, promptPrefix, mirror, loadReport, measure]
