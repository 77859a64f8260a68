/** The requests that the tour suggests, ready to paste; `gateway` is the address that the gateway listens on. */
export function curlLines(gateway: string): readonly string[] {
  const body = '{"inputs":[{"name":"amount","shape":[1],"datatype":"FP32","data":[120]}]}'
  return [
    `curl -s ${gateway}/v2/models/fraud/infer -d '${body}'`,
    `curl -s ${gateway}/v2/models/fraud/infer -H 'x-canary: always' -d '${body}'`,
    `curl -s ${gateway}/v2/models/fraud`,
  ]
}
