"""Exports of ECG carts, written by the formats' published descriptions, of made-up people."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS

RATE_HZ = 500
STATEMENTS = ("Sinus bradycardia", "Possible left ventricular hypertrophy", "Reading pending")


def quantised(signal: np.ndarray, microvolts_per_bit: float) -> np.ndarray:
    """Samples as integers of a step."""
    return np.round(signal * 1000 / microvolts_per_bit).astype(np.int16)


def write_muse(path: Path, signal: np.ndarray, microvolts_per_bit: float = 4.88, patient: str = "M1") -> None:
    """GE MUSE XML: eight leads of base64 int16, a document type without a definition, CRC-32 per lead."""
    leads = []
    for lead in INDEPENDENT_LEADS:
        content = quantised(signal[STANDARD_LEADS.index(lead)], microvolts_per_bit).astype("<i2").tobytes()
        leads.append(
            f"<LeadData><LeadByteCountTotal>{len(content)}</LeadByteCountTotal>"
            f"<LeadSampleCountTotal>{len(content) // 2}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{microvolts_per_bit}</LeadAmplitudeUnitsPerBit>"
            "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadSampleSize>2</LeadSampleSize>"
            f"<LeadDataCRC32>{zlib.crc32(content)}</LeadDataCRC32><LeadID>{lead}</LeadID>"
            f"<WaveFormData>{base64.b64encode(content).decode()}</WaveFormData></LeadData>"
        )
    said = "".join(
        f"<DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag><StmtText>{text}</StmtText></DiagnosisStatement>"
        for text in STATEMENTS
    )
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n<RestingECG>'
        f"<PatientDemographics><PatientID>{patient}</PatientID><PatientAge>67</PatientAge><AgeUnits>YEARS</AgeUnits>"
        f"<Gender>FEMALE</Gender></PatientDemographics><Diagnosis>{said}</Diagnosis><Waveform>"
        "<WaveformType>Rhythm</WaveformType><SampleBase>500</SampleBase><SampleExponent>0</SampleExponent>"
        f"{''.join(leads)}</Waveform></RestingECG>\n",
        encoding="latin-1",
    )


def write_sierra(path: Path, signal: np.ndarray, microvolts_per_bit: float = 5.0) -> None:
    """Philips Sierra XML 1.04.01: twelve leads one after another, base64 int16."""
    content = base64.b64encode(quantised(signal, microvolts_per_bit).astype("<i2").tobytes()).decode()
    said = "".join(
        f"<statement><leftstatement>{text}</leftstatement><rightstatement>V-rate 50</rightstatement></statement>"
        for text in STATEMENTS
    )
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<restingecgdata><documentinfo>'
        "<documenttype>PhilipsECG</documenttype><documentversion>1.04.01</documentversion></documentinfo>"
        "<patient><generalpatientdata><patientid>P2</patientid><age><years>91</years></age><sex>Male</sex>"
        "</generalpatientdata></patient><dataacquisition><signalcharacteristics>"
        f"<samplingrate>{RATE_HZ}</samplingrate><resolution>{microvolts_per_bit}</resolution>"
        "<signaloffset>0</signaloffset><signalsigned>True</signalsigned><numberchannelsvalid>12</numberchannelsvalid>"
        "<numberchannelsallocated>12</numberchannelsallocated><acquisitiontype>STD-12</acquisitiontype>"
        f"</signalcharacteristics></dataacquisition><interpretations><interpretation>{said}</interpretation>"
        "</interpretations><waveforms>"
        f'<parsedwaveforms dataencoding="Base64" compressflag="False" numberofleads="12" '
        f'leadlabels="{" ".join(STANDARD_LEADS)}" durationperchannel="{signal.shape[1] * 1000 // RATE_HZ}" '
        f'samplespersecond="{RATE_HZ}" resolution="{microvolts_per_bit}">{content}</parsedwaveforms>'
        "</waveforms></restingecgdata>\n",
        encoding="utf-8",
    )


def write_aecg(path: Path, signal: np.ndarray, microvolts_per_bit: float = 2.5) -> None:
    """HL7 aECG: decimal digits per lead, codes of ISO/IEEE 11073-10102."""
    sequences = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{lead.upper()}" codeSystem="2.16.840.1.113883.6.24"/>'
        f'<value xsi:type="SLIST_PQ"><origin value="0" unit="uV"/><scale value="{microvolts_per_bit}" unit="uV"/>'
        f"<digits>{' '.join(map(str, row))}</digits></value></sequence></component>"
        for lead, row in zip(STANDARD_LEADS, quantised(signal, microvolts_per_bit), strict=True)
    )
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><componentOf><timepointEvent><componentOf>'
        '<subjectAssignment><subject><trialSubject><id root="1.2.3" extension="H3"/><subjectDemographicPerson>'
        '<administrativeGenderCode code="F"/><birthTime value="19500101"/></subjectDemographicPerson></trialSubject>'
        "</subject></subjectAssignment></componentOf></timepointEvent></componentOf>"
        '<effectiveTime><low value="20100102030405"/><high value="20100102030415"/></effectiveTime>'
        '<component><series><code code="RHYTHM"/><component><sequenceSet><component><sequence>'
        '<code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS"><head value="20100102030405"/>'
        f'<increment value="{1 / RATE_HZ}" unit="s"/></value></sequence></component>{sequences}</sequenceSet>'
        "</component></series></component></AnnotatedECG>\n",
        encoding="utf-8",
    )


def write_scp(path: Path, signal: np.ndarray) -> None:
    """SCP-ECG (EN 1064) of protocol 2.0: eight leads of 1 µV, uncompressed, CRC of every section."""

    def tagged(tag: int, value: bytes) -> bytes:
        return struct.pack("<BH", tag, len(value)) + value

    codes = {lead: number for number, lead in enumerate(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), start=1)}
    rows = [quantised(signal[STANDARD_LEADS.index(lead)], 1.0).astype("<i2").tobytes() for lead in codes]
    samples = signal.shape[1]
    bodies = {
        1: tagged(2, b"S4\0") + tagged(4, struct.pack("<HB", 45, 1)) + tagged(8, b"\x01") + tagged(255, b""),
        3: struct.pack("<BB", len(codes), 0x04 | len(codes) << 3)
        + b"".join(struct.pack("<IIB", 1, samples, code) for code in codes.values()),
        6: struct.pack("<HHBB", 1000, 1_000_000 // RATE_HZ, 0, 0)
        + b"".join(struct.pack("<H", len(row)) for row in rows)
        + b"".join(rows),
    }
    sections: dict[int, bytes] = {}
    for number, body in bodies.items():
        body += b"\0" * (len(body) % 2)
        rest = struct.pack("<HIBB6x", number, 16 + len(body), 20, 20) + body
        sections[number] = struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest
    head = 16 + 10 * 12
    place, pointers = 7 + head, struct.pack("<HII", 0, head, 7)
    for number in range(1, 12):
        length = len(sections.get(number, b""))
        pointers += struct.pack("<HII", number, length, place if length else 0)
        place += length
    rest = struct.pack("<HIBB6s", 0, head, 20, 20, b"SCPECG") + pointers
    content = struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest + b"".join(sections.values())
    content = struct.pack("<I", 6 + len(content)) + content
    path.write_bytes(struct.pack("<H", binascii.crc_hqx(content, 0xFFFF)) + content)


def write_dicom(path: Path, signal: np.ndarray, microvolts_per_bit: float = 1.25) -> None:
    """DICOM 12-lead ECG waveform: one multiplex group of int16, channels named by the codes of SCP-ECG."""
    codes = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)
    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = signal.shape
    group.SamplingFrequency = float(RATE_HZ)
    group.ChannelDefinitionSequence = Sequence()
    for lead, code in zip(STANDARD_LEADS, codes, strict=True):
        channel, source, unit = Dataset(), Dataset(), Dataset()
        source.CodeValue, source.CodingSchemeDesignator = f"5.6.3-9-{code}", "SCPECG"
        source.CodeMeaning = f"Lead {lead}"
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "uV", "UCUM", "microvolt"
        channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence = Sequence([source]), Sequence([unit])
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = microvolts_per_bit, 1.0
        channel.ChannelBaseline, channel.WaveformBitsStored = 0.0, 16
        group.ChannelDefinitionSequence.append(channel)
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformData = quantised(signal, microvolts_per_bit).T.astype("<i2").tobytes()
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid(entropy_srcs=["example"])
    file.PatientID, file.PatientSex, file.PatientAge, file.Modality = "D5", "M", "058Y", "ECG"
    file.WaveformSequence = Sequence([group])
    pydicom.dcmwrite(path, file, enforce_file_format=True)
