/** Whom to ask (S63). */
export function Help({ contact }: { contact: string }) {
  if (!contact) return null
  return (
    <p className="help">
      Questions? Contact {contact.includes("@") ? <a href={`mailto:${contact}`}>{contact}</a> : contact}.
    </p>
  )
}
