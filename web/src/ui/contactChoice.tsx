import { graphql } from "../graphql/generated"
import type { ContactChoiceFragment } from "../graphql/generated/graphql"
import type { Choice } from "./PeoplePicker"
import { Portrait } from "./Person"

export const ContactChoice = graphql(`
  fragment ContactChoice on Contact {
    name
    email
    user {
      id
      roleLabel
      isAvailable
    }
    sharedWaitingRooms(first: 4) {
      nodes {
        name
      }
      pageInfo {
        hasNextPage
      }
    }
  }
`)

/** A contact to choose: the role beside the name, the waiting rooms both are in below it (S2, S5). */
export function contactChoice(
  { name, email, user, sharedWaitingRooms }: ContactChoiceFragment,
  withEmail: boolean,
): Choice {
  const rooms = sharedWaitingRooms.nodes.map((room) => room.name).join(", ")
  const all = sharedWaitingRooms.pageInfo.hasNextPage ? `${rooms} …` : rooms
  return {
    id: user.id,
    name,
    label: user.roleLabel,
    detail: withEmail ? `${email} · ${all}` : all,
    picture: <Portrait name={name} isAvailable={user.isAvailable} />,
  }
}

/** Whether addresses are needed to tell people apart, or are what was typed. */
export function needsEmails(query: string, contacts: readonly { name: string }[]) {
  return query.includes("@") || new Set(contacts.map((contact) => contact.name)).size < contacts.length
}
