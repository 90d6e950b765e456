import { ActionIcon, Alert, Button, Skeleton } from "@mantine/core"
import { useId, useRef, useState } from "react"
import { flushSync } from "react-dom"
import { type FragmentType, graphql, readFragment } from "../../graphql/generated"
import { useKeepFocus } from "../../ui/focus"
import { PenIcon } from "../../ui/icons"
import { AddPeople } from "./AddPeople"
import { ParticipantRow } from "./ParticipantRow"
import { useParticipants } from "./useParticipants"

const ParticipantsGroup = graphql(`
  fragment ParticipantsGroup on GroupConversation {
    id
    participantCount
    viewerCanAddParticipants
    viewerMembership {
      state
    }
  }
`)

export interface ParticipantsProps {
  group: FragmentType<typeof ParticipantsGroup>
  /** Whether the clinic lets who adds somebody choose how much they see of what was said (E6). */
  history: boolean
}

/** Who is in a group, and how to add and remove people (S28-S37). */
export function Participants({ group: masked, history }: ParticipantsProps) {
  const group = readFragment(ParticipantsGroup, masked)
  const { participants, error, refetch, more } = useParticipants(group.id)
  const [isAdding, setIsAdding] = useState(false)
  const [said, setSaid] = useState<string[]>([])
  const heading = useRef<HTMLHeadingElement>(null)
  const pen = useRef<HTMLButtonElement>(null)
  const keepFocus = useKeepFocus(heading) // a row may go with it, and not only when the viewer removes somebody
  const headingId = useId()
  const isLive = group.viewerMembership.state === "ACTIVE"
  const canAdd = isLive && group.viewerCanAddParticipants
  const stopAdding = () => {
    flushSync(() => setIsAdding(false))
    pen.current?.focus()
  }
  return (
    // Where nothing in it can have the focus, it can itself, to be scrolled.
    <section className="participants" aria-labelledby={headingId} tabIndex={canAdd ? undefined : 0} {...keepFocus}>
      <div className="participants-head">
        <h3 id={headingId} ref={heading} tabIndex={-1}>
          Participants
        </h3>
        {canAdd && (
          <ActionIcon
            ref={pen}
            variant={isAdding ? "light" : "subtle"}
            aria-label="Edit participants"
            title="Edit participants"
            aria-expanded={isAdding}
            onClick={() => {
              setSaid([])
              setIsAdding(!isAdding)
            }}
          >
            <PenIcon />
          </ActionIcon>
        )}
      </div>
      {canAdd && isAdding && (
        <div
          onKeyDown={(event) => {
            if (event.key !== "Escape" || event.nativeEvent.isComposing) return
            event.stopPropagation()
            stopAdding()
          }}
        >
          <AddPeople conversationId={group.id} history={history} onAdded={setSaid} onCancel={stopAdding} />
        </div>
      )}
      <div role="status" className="participants-said">
        {said.map((sentence) => (
          <div key={sentence} dir="auto">
            {sentence}
          </div>
        ))}
      </div>
      {!participants && error && (
        <Alert color="red" role="alert" title="The participants can't be loaded.">
          <Button size="xs" onClick={() => void refetch()}>
            Try again
          </Button>
        </Alert>
      )}
      {!participants && !error && <Skeleton height={40} aria-hidden="true" />}
      {participants && (
        <ul className="participants-list" aria-labelledby={headingId}>
          {participants.map((participant) => (
            <ParticipantRow
              key={participant.id}
              participant={participant}
              conversationId={group.id}
              isLive={isLive}
              isAlone={group.participantCount < 2}
              onRemoved={(name) => setSaid([`${name} was removed.`])}
            />
          ))}
        </ul>
      )}
      {more && (
        <Button variant="subtle" size="xs" fullWidth onClick={more}>
          Show more
        </Button>
      )}
    </section>
  )
}
