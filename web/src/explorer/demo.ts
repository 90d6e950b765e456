/** The people of the demo clinic, as whom anybody may look around. */
export interface Demo {
  clinic: string
  people: { email: string; name: string; roleLabel: string }[]
}

/** Fetches the people of the demo clinic. Null where the server has none to offer. */
export async function fetchDemo(): Promise<Demo | null> {
  const response = await fetch("/demo/people", { credentials: "omit" })
  if (response.status === 404) return null
  if (!response.ok) throw new Error(await refusal(response))
  return (await response.json()) as Demo
}

/** Fetches a token for somebody of the demo clinic. */
export async function fetchDemoToken(email: string): Promise<string> {
  const response = await fetch("/demo/token", {
    method: "POST",
    credentials: "omit",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email }),
  })
  if (!response.ok) throw new Error(await refusal(response))
  const { token } = (await response.json()) as { token: string }
  return token
}

/** Why the server refused something: in its own words if it has any. */
async function refusal(response: Response): Promise<string> {
  const said = (await response.json().catch(() => null)) as { errors?: { message: string }[] } | null
  return said?.errors?.[0]?.message ?? `The server answered ${response.status} ${response.statusText}`.trim()
}
