package main

// allCommands is filled by init, because help and completion, which are in it, read it.
var allCommands []command

func init() {
	allCommands = []command{
		demoCmd, initCmd, runCmd, statusCmd,
		introductionCmd, teamAddCmd, teamListCmd, teamShowCmd, teamVerifyCmd, teamBlockCmd, teamUnblockCmd, cardShowCmd, cardEditCmd,
		sendCmd, correctCmd, inboxCmd, showCmd, searchCmd, watchCmd,
		doctorCmd, fsckCmd, backupCmd, restoreCmd,
		officerListCmd, officerAddCmd, officerRemoveCmd,
		nodeListCmd, nodeRenewCmd, nodeReplaceCmd, nodeRevokeCmd,
		rootShowCmd, rootRotateCmd, rootRecoverCmd, rootResealCmd,
		versionCmd, completionCmd, helpCmd,
		completeCmd,
	}
}

// commands returns all commands, in the order of the overview.
func commands() []command { return allCommands }
