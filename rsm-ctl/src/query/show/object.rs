//! How objects are named.

pub(super) const HELP: &str = "\
Objects:
  cluster                the cluster itself
  node K                 a node, its processes, segments and connections
  segment NODE ID        a published segment, such as segment 2 0x400001, or segment 2:0x400001
  segment NODE           every segment of a node, published or not
  connection GENERATION  a connection, by the number that `rsm-ctl connections` shows
  link A B               the link between two nodes, both directions; link A B CONTROLLER for one controller
  controller NAME        a controller, such as controller shm0";

/// What is to be shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Object {
    Cluster,
    Node(u32),
    Segment { node: u32, id: Option<u32> },
    Connection(u64),
    Link { from: u32, to: u32, controller: Option<String> },
    Controller(String),
}

impl Object {
    /// Reads the words.
    pub(super) fn parse(words: &[String]) -> Result<Object, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["cluster"] => Ok(Object::Cluster),
            ["node", node] => Ok(Object::Node(number("node", node)?)),
            ["segment", both] => match both.split_once(':') {
                Some((node, id)) => Ok(Object::Segment { node: number("node", node)?, id: Some(segment_id(id)?) }),
                None => Ok(Object::Segment { node: number("node", both)?, id: None }),
            },
            ["segment", node, id] => Ok(Object::Segment { node: number("node", node)?, id: Some(segment_id(id)?) }),
            ["connection", generation] => generation.parse().map(Object::Connection).map_err(|_| {
                format!("\"{generation}\" is no generation of a connection: `rsm-ctl connections` shows them")
            }),
            ["link", from, to] => {
                Ok(Object::Link { from: number("node", from)?, to: number("node", to)?, controller: None })
            }
            ["link", from, to, controller] => {
                let controller = Some(controller.to_owned());
                Ok(Object::Link { from: number("node", from)?, to: number("node", to)?, controller })
            }
            ["controller", name] => Ok(Object::Controller(name.to_owned())),
            ["cluster", ..] => {
                Err("show cluster takes nothing more; another cluster is meant by --cluster NAME".into())
            }
            ["node", ..] => Err("show node takes the number of a node, such as: show node 2".into()),
            ["segment", ..] => Err("show segment takes a node and an id, such as: show segment 2 0x400001".into()),
            ["connection", ..] => Err("show connection takes a generation, such as: show connection 17".into()),
            ["link", ..] => Err("show link takes two nodes, such as: show link 1 2".into()),
            ["controller", ..] => Err("show controller takes a name, such as: show controller shm0".into()),
            [kind, ..] => Err(format!(
                "there is nothing called \"{kind}\" to show: it is one of cluster, node, segment, connection, link, controller"
            )),
            [] => Err("show takes an object, such as: show node 2".into()),
        }
    }
}

fn number(what: &str, text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("\"{text}\" is no {what}: nodes are numbers from 1"))
}

/// A segment id, as the reference writes it or in decimal.
fn segment_id(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("\"{text}\" is no segment id: write 0x400001, or a decimal number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Object, String> {
        Object::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn objects() {
        let segment = Object::Segment { node: 2, id: Some(0x40_0001) };
        for (text, object) in [
            ("cluster", Object::Cluster),
            ("node 2", Object::Node(2)),
            ("segment 2 0x400001", segment),
            ("segment 2:0X400001", Object::Segment { node: 2, id: Some(0x40_0001) }),
            ("segment 2 4194305", Object::Segment { node: 2, id: Some(0x40_0001) }),
            ("segment 2", Object::Segment { node: 2, id: None }),
            ("connection 17", Object::Connection(17)),
            ("link 1 2", Object::Link { from: 1, to: 2, controller: None }),
            ("link 1 2 shm0", Object::Link { from: 1, to: 2, controller: Some("shm0".into()) }),
            ("controller shm0", Object::Controller("shm0".into())),
        ] {
            assert_eq!(parse(text), Ok(object), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_is_allowed() {
        for (text, part) in [
            ("node", "show node 2"),
            ("node two", "\"two\" is no node"),
            ("node -1", "\"-1\" is no node"),
            ("node 2 3", "show node 2"),
            ("cluster x", "--cluster NAME"),
            ("segment 2 0xg", "\"0xg\" is no segment id"),
            ("segment 2 0x1ffffffff", "is no segment id"),
            ("segment", "show segment 2 0x400001"),
            ("connection x", "rsm-ctl connections"),
            ("link 1", "show link 1 2"),
            ("controller", "show controller shm0"),
            ("dragon 3", "one of cluster, node"),
        ] {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.contains(part), "{text}: {refusal}");
        }
    }
}
