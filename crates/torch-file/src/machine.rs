//! The stack machine that a pickle is a program for, with the instructions of `torch.save` alone.
//!
//! It names functions and classes and calls none. Every instruction adds at most one value, and only
//! as much text as it brings along, so memory is linear in the bytes read.

use crate::input::{Fault, Input, Step, nonsense};
use crate::opcode as op;
use crate::values::{Id, Node, Span, Values};
use std::collections::HashMap;
use std::io::BufRead;

/// Newest protocol that is known.
const MAX_PROTOCOL: u8 = 5;

/// Most values that may be waiting or remembered at once.
const MAX_WAITING: usize = 1 << 24;

/// Runs one pickle to its end, adding to `values`; returns what it describes.
pub(crate) fn run<R: BufRead>(input: &mut Input<R>, values: &mut Values) -> Step<Id> {
    let memo = HashMap::new();
    let (stack, marks, scratch) = (Vec::new(), Vec::new(), Vec::new());
    let mut machine = Machine { input, values, stack, marks, memo, scratch };
    loop {
        let code = machine.input.byte()?;
        if code == op::STOP {
            return machine.pop();
        }
        machine.step(code)?;
        if machine.stack.len() > MAX_WAITING {
            return nonsense(format!("more than {MAX_WAITING} values wait to be used"));
        }
    }
}

struct Machine<'a, R> {
    input: &'a mut Input<R>,
    values: &'a mut Values,
    stack: Vec<Id>,
    /// Heights of the stack at the marks that are open.
    marks: Vec<u32>,
    memo: HashMap<u32, Id>,
    /// The text being read.
    scratch: Vec<u8>,
}

impl<R: BufRead> Machine<'_, R> {
    fn step(&mut self, code: u8) -> Step<()> {
        match code {
            op::PROTO => self.protocol(),
            // How many bytes the next instructions have, for readers that fetch them together.
            op::FRAME => self.input.array::<8>().map(drop),
            op::NONE | op::NEWTRUE | op::NEWFALSE | op::EMPTY_TUPLE => self.push_constant(code),
            op::BININT | op::BININT1 | op::BININT2 | op::LONG1 | op::BINFLOAT => self.number(code),
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => self.text(code),
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => self.bytes(code),
            op::MARK => self.mark(),
            op::POP => self.pop().map(drop),
            op::POP_MARK => self.pop_to_mark().map(drop),
            op::TUPLE | op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => self.tuple(code),
            op::EMPTY_LIST | op::EMPTY_SET => self.push_node(Node::List(Vec::new())),
            op::EMPTY_DICT => self.push_node(Node::Dict(Vec::new())),
            op::APPEND => {
                let item = self.pop()?;
                self.add_items(&[item])
            }
            op::APPENDS | op::ADDITEMS => {
                let items = self.pop_to_mark()?;
                self.add_items(&items)
            }
            op::FROZENSET => {
                let items = self.pop_to_mark()?;
                self.push_node(Node::List(items))
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])
            }
            op::SETITEMS => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)
            }
            op::GLOBAL | op::STACK_GLOBAL => self.global(code),
            op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX => self.call(code),
            // The state of an object is no tensor, and that of a dict is not in the dict.
            op::BUILD => self.pop().and_then(|_| self.top()).map(drop),
            op::BINPERSID => {
                let description = self.pop()?;
                self.push_node(Node::Outside(description))
            }
            op::BINGET | op::LONG_BINGET => self.remembered(code),
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(code),
            other => nonsense(format!("instruction {other:#04x} is not one of torch.save")),
        }
    }

    fn protocol(&mut self) -> Step<()> {
        match self.input.byte()? {
            0..=MAX_PROTOCOL => Ok(()),
            other => nonsense(format!("protocol {other} is unknown; {MAX_PROTOCOL} is the newest")),
        }
    }

    fn push_constant(&mut self, code: u8) -> Step<()> {
        self.stack.push(match code {
            op::NEWTRUE => Values::TRUE,
            op::NEWFALSE => Values::FALSE,
            op::EMPTY_TUPLE => Values::EMPTY_TUPLE,
            _ => Values::NONE,
        });
        Ok(())
    }

    fn push_node(&mut self, node: Node) -> Step<()> {
        let id = self.values.push(node).map_err(Fault::Nonsense)?;
        self.stack.push(id);
        Ok(())
    }

    fn number(&mut self, code: u8) -> Step<()> {
        let node = match code {
            op::BININT1 => Node::Int(self.input.byte()?.into()),
            op::BININT2 => Node::Int(u16::from_le_bytes(self.input.array()?).into()),
            op::BININT => Node::Int(i32::from_le_bytes(self.input.array()?).into()),
            // The one number whose highest byte comes first.
            op::BINFLOAT => Node::Float(f64::from_be_bytes(self.input.array()?)),
            _ => self.long()?,
        };
        self.push_node(node)
    }

    /// A whole number of up to 255 bytes, in two's complement.
    fn long(&mut self) -> Step<Node> {
        let len = self.input.byte()?;
        self.input.take(len.into(), &mut self.scratch)?;
        let is_negative = self.scratch.last().is_some_and(|&byte| byte >= 0x80);
        if self.scratch.len() <= 8 {
            let mut bytes = [if is_negative { 0xff } else { 0 }; 8];
            bytes[..self.scratch.len()].copy_from_slice(&self.scratch);
            return Ok(Node::Int(i64::from_le_bytes(bytes)));
        }
        let digits: String = self.scratch.iter().rev().map(|byte| format!("{byte:02x}")).collect();
        self.keep(&digits).map(Node::BigInt)
    }

    /// The length that stands before a text or before bytes.
    fn length(&mut self, code: u8) -> Step<u64> {
        match code {
            op::SHORT_BINUNICODE | op::SHORT_BINBYTES => Ok(self.input.byte()?.into()),
            op::BINUNICODE | op::BINBYTES => Ok(u32::from_le_bytes(self.input.array()?).into()),
            _ => Ok(u64::from_le_bytes(self.input.array()?)),
        }
    }

    fn text(&mut self, code: u8) -> Step<()> {
        let len = self.length(code)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        self.input.take(len, &mut scratch)?;
        let span = self.keep_utf8(&scratch)?;
        self.scratch = scratch;
        self.push_node(Node::Text(span))
    }

    fn bytes(&mut self, code: u8) -> Step<()> {
        let len = self.length(code)?;
        self.input.skip(len)?;
        self.push_node(Node::Bytes)
    }

    fn keep(&mut self, text: &str) -> Step<Span> {
        self.values.keep_text(text).map_err(Fault::Nonsense)
    }

    fn keep_utf8(&mut self, bytes: &[u8]) -> Step<Span> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.keep(text),
            Err(error) => nonsense(format!("a text is no UTF-8: {error}")),
        }
    }

    fn mark(&mut self) -> Step<()> {
        if self.marks.len() > MAX_WAITING {
            return nonsense(format!("more than {MAX_WAITING} marks are open"));
        }
        // The stack was just checked to be shorter than four billion.
        self.marks.push(self.stack.len() as u32);
        Ok(())
    }

    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |&height| height as usize)
    }

    fn pop(&mut self) -> Step<Id> {
        match self.stack.len() > self.floor() {
            true => self.stack.pop().map_or_else(|| nonsense("the stack is empty"), Ok),
            false => nonsense("the stack is empty"),
        }
    }

    fn top(&self) -> Step<Id> {
        match self.stack.get(self.floor()..).and_then(<[Id]>::last) {
            Some(id) => Ok(*id),
            None => nonsense("the stack is empty"),
        }
    }

    /// Everything above the last mark, which is closed.
    fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height as usize)),
            None => nonsense("there is no mark"),
        }
    }

    fn tuple(&mut self, code: u8) -> Step<()> {
        let items = match code {
            op::TUPLE => self.pop_to_mark()?,
            _ => {
                let len = usize::from(code - op::TUPLE1) + 1;
                let start = self.stack.len().checked_sub(len).filter(|at| *at >= self.floor());
                let Some(start) = start else { return nonsense("the stack is empty") };
                self.stack.split_off(start)
            }
        };
        let id = self.values.push_tuple(items).map_err(Fault::Nonsense)?;
        self.stack.push(id);
        Ok(())
    }

    fn add_items(&mut self, new: &[Id]) -> Step<()> {
        let target = self.top()?;
        match self.values.node_mut(target) {
            Node::List(items) => items.extend(new),
            // A class of its own that holds items; nothing is known about it.
            Node::Object { .. } => {}
            _ => return nonsense(format!("items are added to {}", self.values.describe(target))),
        }
        Ok(())
    }

    fn set_items(&mut self, new: &[Id]) -> Step<()> {
        let target = self.top()?;
        let (pairs, rest) = new.as_chunks::<2>();
        if !rest.is_empty() {
            return nonsense("a key of a dict has no value");
        }
        match self.values.node_mut(target) {
            Node::Dict(entries) => entries.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            Node::Object { .. } => {}
            _ => return nonsense(format!("entries are set of {}", self.values.describe(target))),
        }
        Ok(())
    }

    fn global(&mut self, code: u8) -> Step<()> {
        let (module, name) = match code {
            op::GLOBAL => (self.global_line()?, self.global_line()?),
            _ => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.values.node(module), self.values.node(name)) {
                    (Node::Text(module), Node::Text(name)) => (*module, *name),
                    _ => return nonsense("a class is named by something that is no text"),
                }
            }
        };
        self.push_node(Node::Global { module, name })
    }

    fn global_line(&mut self) -> Step<Span> {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.input.line(&mut scratch)?;
        let span = self.keep_utf8(&scratch)?;
        self.scratch = scratch;
        Ok(span)
    }

    /// What a call would give: a dict where that is certain, else an object that says what it is.
    fn call(&mut self, code: u8) -> Step<()> {
        if code == op::NEWOBJ_EX {
            // Named arguments.
            self.pop()?;
        }
        let (args, callable) = (self.pop()?, self.pop()?);
        let n_args = self.values.as_tuple(args).map(<[Id]>::len);
        self.push_node(match (self.values.as_global(callable), n_args) {
            (Some(("collections", "OrderedDict")), Some(0))
            | (Some(("collections", "defaultdict")), Some(_)) => Node::Dict(Vec::new()),
            _ => Node::Object { callable, args },
        })
    }

    fn remembered(&mut self, code: u8) -> Step<()> {
        let index = self.memo_index(code)?;
        match self.memo.get(&index) {
            Some(id) => self.stack.push(*id),
            None => return nonsense(format!("nothing was remembered under {index}")),
        }
        Ok(())
    }

    fn remember(&mut self, code: u8) -> Step<()> {
        let index = match code {
            op::MEMOIZE => self.memo.len() as u32,
            _ => self.memo_index(code)?,
        };
        let id = self.top()?;
        self.memo.insert(index, id);
        match self.memo.len() > MAX_WAITING {
            true => nonsense(format!("more than {MAX_WAITING} values are remembered")),
            false => Ok(()),
        }
    }

    fn memo_index(&mut self, code: u8) -> Step<u32> {
        match code {
            op::BINGET | op::BINPUT => Ok(self.input.byte()?.into()),
            _ => Ok(u32::from_le_bytes(self.input.array()?)),
        }
    }
}
