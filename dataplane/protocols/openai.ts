/** Paths of the OpenAI API, at the root or below `/openai` (where KServe's servers have it). The model is in the body. */
const form = /^(?:\/openai)?\/v1\/(?:chat\/completions|completions|embeddings|responses|rerank|moderations|audio\/[a-z]+|images\/[a-z]+)(?:\/|$)/

export function isOpenAI(path: string): boolean {
  return form.test(path) || path === '/v1/models' || path.startsWith('/openai/v1/')
}

/** The body of such a request names the model. */
export function namesModelInBody(path: string): boolean {
  return form.test(path)
}
