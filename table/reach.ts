import * as v from 'valibot'

/**
 * What a URL may resolve to besides public addresses. `loopback`: this machine (files only; a cluster never says so).
 * `private`: the networks of RFC 1918, RFC 6598 and RFC 4193, which the operator opens by naming the very host.
 */
export const Reach = v.strictObject({ loopback: v.boolean(), private: v.exactOptional(v.literal(true)) })

export type Reach = Readonly<v.InferOutput<typeof Reach>>
