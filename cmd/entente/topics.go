package main

// A topic is a page of help that belongs to no one command.
type topic struct{ name, text string }

var topics = []topic{
	{"start", `
From nothing to a first message

1. Make your team, on the machine that will be its node:
       entente init --name CERT-EXAMPLE --country XA
   Write down the recovery words and put away the files that it names.

2. Start the node, and leave it running:
       entente run

3. Meet another team. Each hands the other its introduction, by mail or on a stick:
       entente introduction --out cert-example.txt
       entente team add their-file.txt

4. Call them on a number that you know. Each reads out the fingerprint of its own team, the other types
   it in:
       entente team show CERT-OTHER
       entente team verify CERT-OTHER --fingerprint "12345 67890 …"

5. Send, and read:
       entente send report.md --to community
       entente inbox
       entente show ID
`},
	{"labels", `
The labels of TLP 2.0, and what this program does with them

CLEAR         no limit
GREEN         the community: the teams that yours knows, and those that they know
AMBER         the recipients' organisations and their clients
AMBER+STRICT  the recipients' organisations only
RED           the named persons only

The label of a message is the strictest marking anywhere in the file: in STIX, MISP, CSAF and IntelMQ where
the format puts it, in text as TLP:LABEL. A file without a marking is refused, unless you give --tlp. With
--tlp you may tighten the file's own label, never loosen it.

CLEAR and GREEN may go to the community. AMBER and above to the community is refused (rule
community-ceiling, exit code 3). AMBER and AMBER+STRICT go to named teams that a person of yours verified,
or under an agreement that is active; RED goes to persons of verified teams. See: entente help restricted
`},
	{"restricted", `
Exchange with named teams and persons

Who gets what is decided by encryption: a message is sealed to the nodes of exactly the teams you name, or
for RED to persons, and nobody else learns that it was sent. What is refused says by which rule, and changes
nothing (exit code 3).

Terms        an officer of each team signs one document:
                 entente agree offer CERT-OTHER --tlp-max AMBER --keep 90
                 entente agree sign ID            (at the other team)
                 entente agree list
             Either team suspends, resumes or ends it at any time: entente agree suspend, resume, end
Sending      you see who will be able to read, before anything is sent:
                 entente send case.md --to agreement:CERT-OTHER
                 entente send case.md --to team:CERT-OTHER,CERT-THIRD
Persons      RED is sealed to persons, each with a passphrase or hardware key of their own:
                 entente operator add "Bo Example"
                 entente send names.md --to "person:CERT-OTHER/Bo Example" --as Ada
                 entente show ID                  (asks for the person's passphrase)
             Without --as nobody of your own team can read it back.
Receipts     entente receipts ID: at whom it has arrived, and who opened RED
Proof        the disclosure log keeps every decision about AMBER and above: entente audit log, audit prove
By hand      entente export FILE --to media --for CERT-OTHER, and entente import FILE there
When a message does not arrive: entente doctor CERT-OTHER
`},
	{"rooms", `
Closed rooms: what several teams tell each other, and nobody else learns of

A room has a charter, stewards who decide, and members. What is said in it is encrypted to the members' nodes
with a key that is replaced before the next message whenever somebody is out. There is no server and no owner.

Found        one steward drafts and signs, each other signs once, each other member accepts once:
                 entente room create "Incident 4711" --incident --steward CERT-B --member CERT-C
                 entente room sign "Incident 4711"        (at CERT-B)
                 entente room accept "Incident 4711"      (at CERT-C)
Say          you see who reads it now, who joined since you looked, and what is about to go wrong:
                 entente send case.md --to "room:Incident 4711"
Look         entente room list, room show ROOM; what waits for you: entente room waiting
Admit        entente room propose ROOM TEAM; others room vouch; the team room accept; then the stewards room vote
             Who knows better: entente room object ROOM TEAM
Restrict     at once, one steward alone, for days:  entente room hold ROOM TEAM
             to last, by the stewards' votes:       entente room suspend, remove, readmit
             From the next message on the team reads nothing; what it received before it keeps.
Go on        memberships end: entente room renew ROOM. Other terms, other stewards: entente room amend ROOM
End          entente room leave ROOM; entente room close ROOM; destroy what is here: entente room forget ROOM

Two or three stewards decide together; of four it takes three, of seven five. Nobody votes no.
frozen       stewards cheated, and two records prove it to anybody: nothing is said in the room any more
quorum-lost  so many stewards are silent that nothing can be decided; members go on as they are
             Both are left behind with one signature of each team: entente room create NAME --replaces ROOM,
             and entente room sign NAME, or entente room refound ROOM NAME

What leaves the room names its author only if the charter says so: entente export --attribute
`},
	{"keys", `
The keys of a team, and what to do when one is lost or stolen

recovery words  24 words on paper, in a safe. They replace the root key: entente root recover
root key        a file of its own, with a passphrase. The node does not need it: keep it on a stick in a
                safe. It names the officers: entente officer add, entente officer remove, entente root rotate
officer keys    one for each person who signs for the team, with a passphrase: verifying teams, the card,
                the list of nodes
operators       persons who read RED, with a passphrase or hardware key: entente operator add. Lost passphrase:
                nobody opens what was sealed to it; remove the operator and add them anew
node key        on the node. It signs messages. Stolen or copied: entente node replace, entente node revoke
unlock secret   opens the node's keys and messages on the disk. A copied disk yields nothing where the
                secret is not on it.

Lost passphrase of an officer: another officer goes on; with the root key, add a new one and remove the old.
Lost root key: entente root recover, with the words. Nobody else can do it for you, and nobody else can do
it to you.
`},
	{"scripts", `
For scripts and bridges

--json prints one JSON object per line, and nothing else, on standard output. Ids are whole there. Times are
RFC 3339 in UTC. A field that is not known is null. New fields may appear; known ones stay.

To follow messages without missing any, keep the field n of the last one you have dealt with:
       entente watch --json --after N
Inside Go programs, package node/control has the same as a client.

Passphrases come from --passphrase-file FILE or ENTENTE_PASSPHRASE, never from an argument.

Exit codes
  0  done
  1  failed
  2  wrong usage
  3  refused by policy; the rule and the reason are on standard error
  4  no node is running for this home
`},
	{"environment", `
ENTENTE_HOME           the home, if --home is not given
ENTENTE_PASSPHRASE     the passphrase, if --passphrase-file is not given
XDG_DATA_HOME          where the default home lies; without it ~/.local/share
XDG_RUNTIME_DIR        where the control socket lies; without it /tmp
CREDENTIALS_DIRECTORY  set by systemd: entente run takes the unlock secret from the credential entente-unlock
EDITOR, VISUAL         for entente card edit
NOTIFY_SOCKET          set by systemd: entente run reports when it is ready
`},
}
