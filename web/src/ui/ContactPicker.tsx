import { type Ref, useState } from "react"
import { graphql, readFragment } from "../graphql/generated"
import { useSearch } from "../graphql/useSearch"
import { ContactChoice, contactChoice, needsEmails } from "./contactChoice"
import { type Choice, PeoplePicker } from "./PeoplePicker"

const ContactSearch = graphql(`
  query ContactSearch($query: String!, $first: Int!, $notInConversation: ID) {
    viewer {
      contacts(query: $query, first: $first, notInConversation: $notInConversation) {
        nodes {
          ...ContactChoice
        }
        pageInfo {
          hasNextPage
        }
      }
    }
  }
`)

export interface ContactPickerProps {
  picked: Choice[]
  onPick: (picked: Choice[]) => void
  /** Leaves out those who take part in this conversation now (S30). */
  notInConversation?: string
  /** The box to type in. */
  ref?: Ref<HTMLInputElement>
}

/** Picks several people of the contact list (S17, S30). */
export function ContactPicker({ picked, onPick, notInConversation, ref }: ContactPickerProps) {
  const [{ query, first }, setSearch] = useState({ query: "", first: 20 })
  const { found, foundFor, error } = useSearch(ContactSearch, {
    query,
    first,
    ...(notInConversation !== undefined && { notInConversation }),
  })
  const contacts = readFragment(ContactChoice, found?.viewer.contacts.nodes ?? [])
  const withEmail = needsEmails(query, contacts)
  const choices = contacts.map((contact) => contactChoice(contact, withEmail))
  const hasMore = found?.viewer.contacts.pageInfo.hasNextPage === true && first < 100
  const [search] = useState(
    () => (query: string) => setSearch((last) => (last.query === query ? last : { query, first: 20 })),
  )
  return (
    <PeoplePicker
      sections={[{ name: "People", choices }]}
      foundFor={foundFor}
      error={error}
      onSearch={search}
      onChoose={(choice) => onPick([...picked, choice])}
      onUnpick={(choice) => onPick(picked.filter(({ id }) => id !== choice.id))}
      picked={picked}
      onMore={hasMore ? () => setSearch({ query, first: Math.min(first + 40, 100) }) : undefined}
      autoFocus
      {...(ref !== undefined && { ref })}
    />
  )
}
