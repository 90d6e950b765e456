/** How the chat is used, with the same parts as the schema's mutations have (S8). */
export function HelpPage({ supportContact }: { supportContact: string }) {
  return (
    <main className="help-page">
      <h1>Chat with your colleagues</h1>
      <p>
        Everybody who works in the same waiting room is in each other’s contact list, also called the address book.
        There is nothing to add and nothing to accept.
      </p>
      <h2>Start or Continue Chat with Provider/Staff</h2>
      <ol>
        <li>Click on the chat bubble next to your name to see your recent chats.</li>
        <li>Choose one of them, or click “See All Chats” to view all of your messages.</li>
        <li>To start another one, click on “New Chat”.</li>
        <li>
          Type in the name or email address of whom you would like to chat with, or the name of a group. “no result”
          means that the name or email address can’t be found in your contact list.
        </li>
        <li>Start the chat, or continue it. You may send files, too: attach them, or drop them into the chat.</li>
      </ol>
      <h2>Add and Remove Participants from Group Chat</h2>
      <h3>Add a Participant</h3>
      <ol>
        <li>Click the pen icon next to “Participants”.</li>
        <li>
          Search the name or email address of the person. They should already be in your address book to show a result.
        </li>
        <li>Click on the “Add” button.</li>
      </ol>
      <h3>Remove a Participant</h3>
      <ol>
        <li>Click the minus icon next to the participant’s name.</li>
        <li>Click on the checkmark to confirm.</li>
      </ol>
      <h2>Manage Chat Options</h2>
      <h3>Mute/Unmute Notifications</h3>
      <p>This mutes the chat sound, and stops the chat box from popping up if it is not already open.</p>
      <ol>
        <li>Click the 3 vertical dots to view the menu.</li>
        <li>Select “Mute Notifications”. A muted bell shows under the name of the person or group.</li>
      </ol>
      <h3>Archive Chat</h3>
      <ol>
        <li>Click the 3 vertical dots to view the menu.</li>
        <li>Select “Archive chat”. To bring it back, click “New Chat” and search for that person or group.</li>
      </ol>
      <h3>Leave Group Chat</h3>
      <ol>
        <li>Click the 3 vertical dots to view the menu.</li>
        <li>Select “Leave group”, and click on “Leave” to confirm.</li>
      </ol>
      <p>You will not receive any new messages or updates from this group until someone adds you back in.</p>
      <h3>Delete Group</h3>
      <ol>
        <li>Click the 3 vertical dots to view the menu.</li>
        <li>Select “Delete group”, and click on “Delete” to confirm. Only the group owner can see this option.</li>
      </ol>
      <h2>Scope and Limitations</h2>
      <ul>
        <li>Only the group owner can delete a group chat.</li>
        <li>Once the group chat has been deleted, the chat will disappear from all members of the chat list.</li>
      </ul>
      {supportContact && (
        <p>
          If you have any questions, please contact us at{" "}
          {supportContact.includes("@") ? <a href={`mailto:${supportContact}`}>{supportContact}</a> : supportContact}.
        </p>
      )}
    </main>
  )
}
