import { type SubmitEvent, useId, useState } from "react"

/** Takes a bearer token, where there is no demo clinic. It is handed on and forgotten. */
export function TokenField({ onToken }: { onToken: (token: string) => void }) {
  const id = useId()
  const [token, setToken] = useState("")
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    onToken(token.trim().replace(/^Bearer\s+/i, ""))
    setToken("")
  }
  return (
    <form className="field" onSubmit={submit}>
      <label htmlFor={id}>Bearer token</label>
      <input
        id={id}
        type="password"
        autoComplete="off"
        spellCheck={false}
        required
        aria-describedby={`${id}-hint`}
        value={token}
        onChange={(event) => setToken(event.currentTarget.value)}
      />
      <button type="submit">Sign in</button>
      <span id={`${id}-hint`} className="hint">
        <code>corridor token --email EMAIL</code> prints one. It stays in this page’s memory.
      </span>
    </form>
  )
}
