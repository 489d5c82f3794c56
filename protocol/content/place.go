package content

import "strings"

// A place says what a value in a JSON document means to us. One table serves all formats, because keys come in any order:
// what a document is may be known only when it has been read.
type place uint8

const (
	pOther     place = iota
	pRoot            // the document, or one of several: a line, an element of the outermost array
	pObjects         // STIX objects
	pObject          // one of them
	pMarking         // STIX marking reference, or several
	pDef             // definition of a STIX marking definition
	pExts            // extensions of a STIX object
	pExt             // one of them
	pDefLabel        // TLP label in a marking definition
	pDefText         // free text in one, which may be a label
	pDefType         // definition_type
	pLabels          // STIX labels; MISP's converter puts tags there
	pType            // type
	pID              // id
	pName            // name
	pSpec            // spec_version
	pEvent           // MISP event
	pResponse        // MISP response: an event, or several
	pTag             // MISP tag, or several
	pTagName         // name of one
	pInfo            // MISP title
	pDocument        // CSAF document
	pDist            // CSAF distribution
	pTLP             // CSAF distribution.tlp
	pTLPLabel        // its label
	pGroup           // CSAF sharing group
	pGroupID         // its id
	pGroupName       // its name
	pVersion         // csaf_version
	pTitle           // CSAF title
	pRecord          // IntelMQ __type
	pLineTLP         // IntelMQ tlp
	pClass           // IntelMQ classification.type
	pHeading         // title of a JSON document of no known kind
	pNoise           // machine text: not searched for terms
)

// marking reports whether a string at p is a marking.
func (p place) marking() bool {
	switch p {
	case pMarking, pTag, pTagName, pTLP, pTLPLabel, pLineTLP, pDefLabel:
		return true
	}
	return false
}

// holds reports whether a value that begins with c may stand at p, for the places where that decides about the label.
func (p place) holds(c byte) bool {
	switch p {
	case pMarking:
		return c == '"' || c == '[' || c == 'n'
	case pTag:
		return c == '"' || c == '[' || c == '{' || c == 'n'
	case pTLP:
		return c == '"' || c == '{'
	case pTagName, pTLPLabel, pDefLabel, pVersion:
		return c == '"'
	case pLineTLP:
		return c == '"' || c == 'n'
	case pObject:
		return c == '{'
	}
	return true
}

// element is the place of an element of an array at p.
func (p place) element() place {
	switch p {
	case pObjects:
		return pObject
	case pMarking, pLabels, pEvent, pResponse, pTag, pDist, pTLP, pGroup, pNoise:
		return p
	}
	return pOther
}

// child is the place of the member key of an object at p.
func (p place) child(key string) place {
	switch key {
	case "object_marking_refs", "marking_ref":
		return pMarking
	case "Tag":
		return pTag
	}
	c := pOther
	switch p {
	case pRoot:
		c = rootChild(key)
	case pObject:
		c = objectChild(key)
	case pDef:
		c = definitionChild(key)
	case pExts:
		c = pExt
	case pExt:
		if key == "tlp_2_0" || key == "tlp" {
			c = pDefLabel
		}
	case pResponse:
		if key == "Event" {
			c = pEvent
		}
	case pEvent:
		if key == "info" {
			c = pInfo
		}
	case pTag:
		if key == "name" {
			c = pTagName
		} else {
			c = pNoise
		}
	case pDocument:
		switch key {
		case "csaf_version":
			c = pVersion
		case "title":
			c = pTitle
		case "distribution":
			c = pDist
		}
	case pDist:
		switch key {
		case "tlp":
			c = pTLP
		case "sharing_group":
			c = pGroup
		}
	case pTLP:
		if key == "label" {
			c = pTLPLabel
		}
	case pGroup:
		switch key {
		case "id":
			c = pGroupID
		case "name":
			c = pGroupName
		}
	}
	if c == pOther && noiseKey(key) {
		c = pNoise
	}
	return c
}

func rootChild(key string) place {
	switch key {
	case "objects":
		return pObjects
	case "Event":
		return pEvent
	case "response":
		return pResponse
	case "document":
		return pDocument
	case "info":
		return pInfo
	case "__type":
		return pRecord
	case "tlp":
		return pLineTLP
	case "classification.type":
		return pClass
	case "spec_version":
		return pSpec
	case "title":
		return pHeading
	}
	return objectChild(key)
}

func objectChild(key string) place {
	switch key {
	case "type":
		return pType
	case "id":
		return pID
	case "name":
		return pName
	case "labels":
		return pLabels
	case "extensions":
		return pExts
	case "definition":
		return pDef
	case "definition_type", "x_opencti_definition_type":
		return pDefType
	case "x_opencti_definition":
		return pDefText
	}
	return pOther
}

func definitionChild(key string) place {
	switch {
	case strings.EqualFold(key, "tlp"):
		return pDefLabel
	case key == "statement":
		return pDefText
	}
	return pOther
}

// noiseKey reports whether the values of key are machine text that nobody searches for: references, times, counters.
func noiseKey(key string) bool {
	switch key {
	case "uuid", "colour", "timestamp", "publish_timestamp", "sighting_timestamp", "date_sighting", "distribution", "event_id",
		"object_id", "attribute_id", "sharing_group_id", "org_id", "orgc_id", "tag_id", "galaxy_id", "spec_version":
		return true
	}
	return strings.HasSuffix(key, "_ref") || strings.HasSuffix(key, "_refs") || strings.HasSuffix(key, "_uuid")
}

// mispKey reports whether an object with an info and this key is a MISP event.
func mispKey(key string) bool {
	switch key {
	case "Attribute", "Object", "Orgc", "orgc_id", "threat_level_id", "publish_timestamp":
		return true
	}
	return false
}

// intelMQKey reports whether an object with this key is an IntelMQ event.
func intelMQKey(key string) bool {
	switch key {
	case "classification.type", "classification.taxonomy", "time.source", "time.observation", "source.ip", "source.network",
		"source.fqdn", "source.url", "destination.ip":
		return true
	}
	return false
}
