import { Distribution } from '../dataplane/telemetry/distribution.ts'
import { Series } from '../dataplane/telemetry/series.ts'

/** Loaded before a proxy (`--import`): it counts nothing of requests, which has no flag. What metrics cost is the difference. */
Distribution.prototype.observe = () => {}
Series.prototype.count = () => {}
