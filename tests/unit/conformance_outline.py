"""The outline of a DICOM Conformance Statement, filled in for the application entities of Segwatch."""

OUTLINE = """
1 Conformance Statement Overview
2 Table of Contents
3 Introduction
3.1 Revision History
3.2 Audience
3.3 Remarks
3.4 Terms and Definitions
3.5 Basics of DICOM Communication
3.6 Abbreviations
3.7 References
4 Networking
4.1 Implementation Model
4.1.1 Application Data Flow
4.1.2 Functional Definition of AEs
4.1.3 Sequencing of Real World Activities
4.2 AE Specifications
{entities}
4.3 Network Interfaces
4.3.1 Physical Network Interface
4.3.2 Additional Protocols
4.3.3 IPv4 and IPv6 Support
4.4 Configuration
4.4.1 AE Title/Presentation Address Mapping
4.4.2 Parameters
5 Media Interchange
6 Transformation of DICOM to CDA
7 Support of Character Sets
8 Security
8.1 Security Profiles
8.2 Association Level Security
8.3 Application Level Security
9 Annexes
9.1 IOD Contents
9.2 Data Dictionary of Private Attributes
9.3 Coded Terminology and Templates
9.4 Grayscale Image Consistency
9.5 Standard Extended/Specialized/Private SOP Classes
9.6 Private Transfer Syntaxes
"""
"""Of PS3.2 annex A; what lies below Media Interchange, IOD Contents and Coded Terminology is left out."""
ENTITY = """
{at} {name}
{at}.1 SOP Classes
{at}.2 Association Policies
{at}.2.1 General
{at}.2.2 Number of Associations
{at}.2.3 Asynchronous Nature
{at}.2.4 Implementation Identifying Information
{at}.3 Association Initiation Policy
{initiated}
{at}.4 Association Acceptance Policy
{accepted}
"""
"""Of an application entity (section A.4.2.1)."""
ACTIVITY = """
{at} {name}
{at}.1 Description and Sequencing of Activities
{at}.2 {contexts} Presentation Contexts
{at}.3 SOP Specific Conformance for SOP Classes
"""


def outline() -> list[str]:
    """The headings that the page must have, in small letters."""
    receive = ACTIVITY.format(at="4.2.1.4.1", name="Receive Instances", contexts="Accepted")
    send = ACTIVITY.format(at="4.2.2.3.1", name="Send Results", contexts="Proposed")
    ask = ACTIVITY.format(at="4.2.3.3.1", name="Ask for a Count", contexts="Proposed")
    entities = (
        ENTITY.format(at="4.2.1", name="STORAGE-SCP", initiated="", accepted=receive),
        ENTITY.format(at="4.2.2", name="DELIVERY-SCU", initiated=send, accepted=""),
        ENTITY.format(at="4.2.3", name="COUNT-SCU", initiated=ask, accepted=""),
    )
    return [line.lower() for line in OUTLINE.format(entities="".join(entities)).splitlines() if line]
