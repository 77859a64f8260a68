import * as v from 'valibot'

/** What bodies must be like: as a JSON Schema says, or as the model itself says that it takes and gives. */

const schema = v.strictObject({ source: v.literal('Schema'), schema: v.unknown() })
const metadata = v.strictObject({ source: v.literal('ModelMetadata') })
/** Answers that are not are refused, and not only reported. */
const reject = { reject: v.exactOptional(v.literal(true)) }

export const Validation = v.pipe(
  v.strictObject({
    request: v.exactOptional(v.pipe(v.variant('source', [schema, metadata]), v.readonly())),
    response: v.exactOptional(v.pipe(
      v.variant('source', [v.strictObject({ ...schema.entries, ...reject }), v.strictObject({ ...metadata.entries, ...reject })]), v.readonly(),
    )),
  }),
  v.readonly(),
)

export type Validation = v.InferOutput<typeof Validation>
