//! The instructions of compiled kernels, read from a listing of `cuobjdump -sass`.

/// One entry, or a function that one calls.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) instructions: Vec<Instruction>,
}

/// One machine instruction.
pub(super) struct Instruction {
    pub(super) address: u64,
    /// As listed, its guard included: `@!P0 BRA 0x450`.
    pub(super) text: String,
}

/// Where execution may go on after an instruction.
#[derive(Debug, PartialEq)]
pub(super) enum Flow {
    Next,
    /// To an address, or to the next instruction when `may_pass`.
    Jump {
        target: u64,
        may_pass: bool,
    },
    End,
}

/// Reads a listing: lines `/*0310*/  @P0 BRA 0x450 ;  /* encoding */` below `Function : name`.
///
/// The padding behind the last instruction is left out.
pub(super) fn parse(listing: &str) -> Vec<Function> {
    let mut functions: Vec<Function> = Vec::new();
    for line in listing.lines() {
        if let Some((_, name)) = line.split_once("Function : ") {
            let name = name.trim().to_owned();
            functions.push(Function { name, instructions: Vec::new() });
        } else if let Some(function) = functions.last_mut() {
            function.instructions.extend(Instruction::parse(line));
        }
    }
    for function in &mut functions {
        let padding = |instruction: &Instruction| instruction.is_padding();
        while function.instructions.last().is_some_and(padding) {
            function.instructions.pop();
        }
    }
    functions
}

impl Instruction {
    fn parse(line: &str) -> Option<Self> {
        let (address, rest) = line.trim_start().strip_prefix("/*")?.split_once("*/")?;
        // A line with the second half of an encoding has nothing but that comment.
        let (text, _) = rest.split_once(';')?;
        let address = u64::from_str_radix(address, 16).ok()?;
        Some(Self { address, text: text.trim().to_owned() })
    }

    /// The name of the operation: `LDG` of `@P0 LDG.E.128 R4, ...`.
    pub(super) fn opcode(&self) -> &str {
        self.operation().split([' ', '.']).next().unwrap_or_default()
    }

    /// The text without its guard.
    fn operation(&self) -> &str {
        match self.text.strip_prefix('@') {
            Some(guarded) => guarded.split_once(' ').map_or("", |(_, rest)| rest.trim_start()),
            None => &self.text,
        }
    }

    pub(super) fn flow(&self) -> Flow {
        let operation = self.operation();
        let (name, operands) = operation.split_once(' ').unwrap_or((operation, ""));
        let is_guarded = self.text.starts_with('@');
        match self.opcode() {
            "EXIT" | "RET" | "KILL" | "BRX" | "JMX" | "BRXU" if !is_guarded => Flow::End,
            "BRA" | "JMP" | "CALL" | "WARPSYNC" => match target(operands) {
                // A second operand is a condition; a call comes back.
                Some(target) => {
                    let is_plain = !is_guarded && !operands.contains(',') && !name.contains("DIV");
                    let may_pass = !is_plain || !matches!(self.opcode(), "BRA" | "JMP");
                    Flow::Jump { target, may_pass }
                }
                None => Flow::Next,
            },
            _ => Flow::Next,
        }
    }

    fn is_padding(&self) -> bool {
        let itself = Flow::Jump { target: self.address, may_pass: false };
        self.opcode() == "NOP" || self.flow() == itself
    }
}

/// The address at the end of the operands, which may name a predicate or a register first.
fn target(operands: &str) -> Option<u64> {
    let last = operands.split([',', ' ']).rfind(|operand| !operand.is_empty())?;
    u64::from_str_radix(last.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(text: &str) -> Instruction {
        Instruction { address: 0x100, text: text.to_owned() }
    }

    #[test]
    fn a_listing_is_read_without_encodings_and_padding() {
        let listing = "\
\tcode for sm_90
\t\tFunction : scan_f32
\t.headerflags\t@\"EF_CUDA_SM90\"
        /*0000*/                   LDC R1, c[0x0][0x28] ;               /* 0x00000a00ff017b82 */
                                                                        /* 0x000fe20000000800 */
        /*0010*/              @!P0 EXIT ;                               /* 0x000000000000894d */
        /*0020*/                   BRA 0x20;                            /* 0xfffffffc00fc7947 */
        /*0030*/                   NOP;                                 /* 0x0000000000007918 */
\t\t..........
\t\tFunction : norm
        /*0000*/                   EXIT ;                               /* 0x000000000000794d */
";
        let functions = parse(listing);
        let names: Vec<&str> = functions.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["scan_f32", "norm"]);
        let texts: Vec<&str> = functions[0].instructions.iter().map(|i| i.text.as_str()).collect();
        assert_eq!(texts, ["LDC R1, c[0x0][0x28]", "@!P0 EXIT"]);
    }

    #[test]
    fn opcodes_have_no_guard_and_no_modifiers() {
        for (text, opcode) in [
            ("@!P0 LDG.E.128.CONSTANT R4, desc[UR4][R2.64]", "LDG"),
            ("FFMA R1, R2, R3, R4", "FFMA"),
            ("@P1 EXIT", "EXIT"),
            ("NOP", "NOP"),
        ] {
            assert_eq!(instruction(text).opcode(), opcode);
        }
    }

    #[test]
    fn jumps_know_whether_they_may_pass() {
        let jump = |target, may_pass| Flow::Jump { target, may_pass };
        for (text, flow) in [
            ("BRA 0x450", jump(0x450, false)),
            ("@P0 BRA 0x450", jump(0x450, true)),
            ("BRA !P2, 0x1190", jump(0x1190, true)),
            ("BRA.DIV UR4, 0x80", jump(0x80, true)),
            ("BRA.DIV ~URZ 0x80", jump(0x80, true)),
            ("CALL.REL.NOINC 0xbb0", jump(0xbb0, true)),
            ("WARPSYNC.COLLECTIVE R4, 0x90", jump(0x90, true)),
            ("WARPSYNC 0xffffffff", jump(0xffff_ffff, true)),
            ("WARPSYNC R4", Flow::Next),
            ("BSYNC B0", Flow::Next),
            ("EXIT", Flow::End),
            ("@P0 EXIT", Flow::Next),
            ("RET.REL.NODEC R4 0x0", Flow::End),
        ] {
            assert_eq!(instruction(text).flow(), flow, "{text}");
        }
    }
}
