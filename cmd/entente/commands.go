package main

// allCommands is filled by init, because help and completion, which are in it, read it.
var allCommands []command

func init() {
	allCommands = []command{
		demoCmd, initCmd, runCmd, statusCmd,
		introductionCmd, teamAddCmd, teamListCmd, teamShowCmd, teamVerifyCmd, teamBlockCmd, teamUnblockCmd, cardShowCmd, cardEditCmd,
		sendCmd, replyCmd, correctCmd, receiptsCmd, inboxCmd, showCmd, searchCmd, watchCmd,
		agreeOfferCmd, agreeSignCmd, agreeListCmd, agreeShowCmd, agreeSuspendCmd, agreeResumeCmd, agreeEndCmd, agreeRenewCmd,
	}
	allCommands = append(allCommands, roomCommands...)
	allCommands = append(allCommands, []command{
		doctorCmd, fsckCmd, backupCmd, restoreCmd, exportCmd, importCmd, auditLogCmd, auditVerifyCmd, auditProveCmd, auditEraseCmd,
		officerListCmd, officerAddCmd, officerRemoveCmd,
		operatorListCmd, operatorAddCmd, operatorRemoveCmd, operatorRotateCmd,
		nodeListCmd, nodeRenewCmd, nodeReplaceCmd, nodeRevokeCmd,
		rootShowCmd, rootRotateCmd, rootRecoverCmd, rootResealCmd,
		versionCmd, completionCmd, helpCmd,
		completeCmd,
	}...)
}

// commands returns all commands, in the order of the overview.
func commands() []command { return allCommands }
