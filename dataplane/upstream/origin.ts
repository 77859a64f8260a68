/** The origin of a URL target, `https://api.example.com`; anything more than an origin is refused. */
export function originOf(text: string): string | Readonly<{ wrong: string }> {
  if (!URL.canParse(text)) return { wrong: `${text} is not a URL` }
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return { wrong: 'a URL must be http or https' }
  if (url.username !== '' || url.password !== '') return { wrong: 'a URL must not carry credentials' }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    return { wrong: `${url.origin} must come without a path, a query and a fragment` }
  }
  return url.origin
}
