import * as v from 'valibot'

const Endpoint = v.pipe(
  v.strictObject({
    /** An IP address, or a DNS name where the cluster itself balances (`endpointMode: ServiceIP`). */
    address: v.pipe(v.string(), v.minLength(1)),
    port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
    zone: v.exactOptional(v.string()),
    /** The port of its metrics, where that is another one. */
    metrics: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))),
  }),
  v.readonly(),
)

/** The ready endpoints of one backend. They travel beside the routes, so that a restarting pod rebuilds no route. */
export const EndpointSetSchema = v.pipe(
  v.strictObject({
    /** `namespace/service:port`; what a route's target names. */
    id: v.pipe(v.string(), v.minLength(1)),
    endpoints: v.pipe(v.array(Endpoint), v.readonly()),
  }),
  v.readonly(),
)

export type Endpoint = v.InferOutput<typeof Endpoint>
export type EndpointSet = v.InferOutput<typeof EndpointSetSchema>
