//! Reads answers in XML, and changes small parts of them by their place in the text.

use std::ops::Range;

use roxmltree::{Document, Node};

#[track_caller]
pub fn parse(text: &str) -> Document<'_> {
    Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// All elements of this name, in order.
pub fn named<'a>(document: &'a Document<'_>, name: &str) -> impl Iterator<Item = Node<'a, 'a>> {
    document.descendants().filter(move |node| node.is_element() && node.tag_name().name() == name)
}

/// The direct child of this name.
pub fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.is_element() && child.tag_name().name() == name)
}

/// What is at the end of a path such as `State/Code`.
pub fn at<'a>(node: Node<'a, 'a>, path: &str) -> Option<Node<'a, 'a>> {
    path.split('/').try_fold(node, child)
}

/// The text at the end of a path; empty where there is none.
pub fn text(node: Node<'_, '_>, path: &str) -> String {
    at(node, path).and_then(|node| node.text()).unwrap_or_default().to_owned()
}

/// The elements in a list at the end of a path.
pub fn list<'a>(node: Node<'a, 'a>, path: &str) -> Vec<Node<'a, 'a>> {
    at(node, path).map(|list| list.children().filter(Node::is_element).collect()).unwrap_or_default()
}

/// The elements of the first list of this name in a document.
pub fn items<'a>(document: &'a Document<'_>, list: &str) -> Vec<Node<'a, 'a>> {
    let list = named(document, list).next();
    list.map(|list| list.children().filter(Node::is_element).collect()).unwrap_or_default()
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

/// Changes to a text, all relative to the text as it was.
#[derive(Debug, Default)]
pub struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Gives an element without attributes another text.
    pub fn set(&mut self, node: Node<'_, '_>, text: &str) {
        self.0.push((node.range(), element(node.tag_name().name(), text)));
    }

    pub fn remove(&mut self, node: Node<'_, '_>) {
        self.0.push((node.range(), String::new()));
    }

    /// Puts XML at the end of an element's content; once for each element.
    pub fn append(&mut self, node: Node<'_, '_>, xml: &str) {
        let (range, name) = (node.range(), node.tag_name().name());
        let source = &node.document().input_text()[range.clone()];
        if source.ends_with("/>") {
            self.0.push((range, format!("<{name}>{xml}</{name}>")));
        } else {
            let end = range.start + source.rfind("</").unwrap();
            self.0.push((end..end, xml.to_owned()));
        }
    }

    pub fn replace(&mut self, node: Node<'_, '_>, xml: &str) {
        self.0.push((node.range(), xml.to_owned()));
    }

    /// A change inside of something that is removed is no more.
    pub fn apply(mut self, text: &str) -> String {
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let (mut out, mut done) = (String::new(), 0);
        for (range, replacement) in self.0 {
            if range.start >= done {
                out += &text[done..range.start];
                out += &replacement;
                done = range.end;
            }
        }
        out + &text[done..]
    }
}

#[test]
fn edits_change_only_what_they_name() {
    let text = "<a><b><c>1</c></b><d/><e><f>2</f></e></a>";
    let document = parse(text);
    let find = |name| named(&document, name).next().unwrap();
    let mut edits = Edits::default();
    edits.set(find("c"), "<3>");
    edits.append(find("d"), "<x/>");
    edits.append(find("b"), "<y/>");
    edits.remove(find("e"));
    edits.set(find("f"), "lost with its parent");
    assert_eq!(edits.apply(text), "<a><b><c>&lt;3&gt;</c><y/></b><d><x/></d></a>");
}
