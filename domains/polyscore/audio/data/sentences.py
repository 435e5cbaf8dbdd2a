"""Short sentences in six languages for synthetic training speech.

A sentence is drawn from a small grammar: subject, verb phrase, object, place or time, so that consonants and vowels of
the language occur in changing neighbourhoods. The words carry no meaning for the task; variety of sounds is all that
counts.
"""

from __future__ import annotations

import numpy as np

__all__ = ["LANGUAGES", "sentence"]

_GRAMMAR: dict[str, tuple[str, ...]] = {
    "en-us": (
        "the old teacher|my younger brother|every passenger|a quiet engineer|the whole orchestra|her neighbour Judith|nobody in the village"
        "|the weather service|our southern office|that clever child|the fishing boat|a group of thirsty horses|you and I|the chief surgeon",
        "has already finished|would gladly exchange|is going to measure|never really understood|carefully painted|should have recorded"
        "|just threw away|always enjoys|may choose|forgot to bring|is looking for|repaired|thought about|would rather sing",
        "three large boxes|the yellow umbrella|a very strange question|fresh bread and cheese|the northern railway bridge|this noisy machine"
        "|fifteen thousand pictures|a pair of leather gloves|the first chapter|some fuzzy measurements|the truth|a vision of the future|hot soup"
        "|half of the garage",
        "before the second meeting|on Wednesday morning|near the harbour wall|without any help|during the long winter|at twenty past eight"
        "|behind the shop|for the last time|in a joyful voice|under the bushes|with both hands|although it was late|if you please|since July",
    ),
    "en-gb": (
        "the postman|an awful lot of students|Doctor Hughes|the queue outside|his favourite aunt|the gardener's daughter|this charming couple"
        "|the whole committee|George|a travelling salesman|one of the sailors|the burglar",
        "could not possibly refuse|ought to return|has been writing|shall fetch|was rather fond of|dropped|borrowed|will surely notice"
        "|managed to catch|rang to ask about|keeps polishing|wants to hear",
        "the silver tea pot|a rather dull programme|two hundred pounds|the bathroom window|a thorough report|seven loaves of bread"
        "|the last ferry|an Irish folk song|a jar of plums|the village church|forty pages of notes|the thing you mentioned",
        "by the river|after the match|in the middle of March|on the left|a fortnight ago|from the tower|as quickly as possible"
        "|round the corner|with a smile|down the lane|between four and five|once more",
    ),
    "es": (
        "la maestra|mi primo Jorge|el viejo reloj|un grupo de músicos|la señora del quinto piso|nuestro equipo|el cartero|aquella muchacha"
        "|el gobierno|cualquier persona",
        "quería comprar|siempre llega con|ha olvidado|está buscando|va a cantar|no pudo encontrar|prefiere|dejó caer|mira|describe",
        "cuatro sillas verdes|la llave pequeña|un jarrón de flores|el pan recién hecho|una guitarra rota|los zapatos nuevos|la cuenta"
        "|un chiste muy largo|el periódico de ayer|doce huevos",
        "en el mercado|antes de cenar|cerca del río|el jueves por la tarde|sin decir nada|durante el verano|hacia el norte|con mucho cuidado"
        "|a las ocho y cuarto|otra vez",
    ),
    "fr-fr": (
        "la voisine|mon cousin Henri|un vieux pêcheur|le directeur du musée|ma petite sœur|chaque étudiant|la boulangère|le train de nuit"
        "|un chien joueur|notre médecin",
        "voudrait acheter|a perdu|cherche depuis longtemps|oublie toujours|va bientôt ouvrir|dessine|n'a pas reçu|préfère garder|nettoie|raconte",
        "une jolie bouteille bleue|quatre œufs frais|la grande fenêtre|un journal ancien|le jeu de cartes|une histoire étrange|son manteau gris"
        "|du fromage blanc|la clé du jardin|huit cents photographies",
        "au bord de la mer|avant le déjeuner|sans faire de bruit|pendant tout l'hiver|chez le coiffeur|à neuf heures et demie|sur le pont"
        "|jeudi soir|derrière l'église|une dernière fois",
    ),
    "it": (
        "la zia Giulia|un giovane pittore|il nostro vicino|ogni viaggiatore|la squadra di casa|mio fratello|il capo stazione|una bambina curiosa"
        "|lo scienziato|gli ospiti",
        "ha comprato|vorrebbe assaggiare|cerca|dimentica spesso|sta scrivendo|non trova più|racconta|ha già venduto|pulisce|disegna",
        "quattro bottiglie d'acqua|la chiave del garage|un mazzo di fiori gialli|il giornale di oggi|una lunga lettera|gli occhiali nuovi"
        "|la torta al cioccolato|un vecchio orologio|dodici sedie|il biglietto",
        "vicino alla spiaggia|dopo la cena|senza fretta|giovedì mattina|durante la pioggia|alle sette e un quarto|sotto il ponte|con attenzione"
        "|in mezzo alla piazza|ancora una volta",
    ),
    "pt-br": (
        "a professora|meu irmão mais velho|o motorista do ônibus|uma menina alegre|o nosso vizinho|cada passageiro|a enfermeira|o cachorro"
        "|um velho pescador|toda a família",
        "quer comprar|esqueceu|está procurando|vai vender|nunca encontrou|sempre conserta|acabou de lavar|prefere levar|viu|desenhou",
        "quatro cadeiras azuis|a chave do portão|um bolo de chocolate|o jornal de ontem|uma carta muito longa|os óculos novos|a janela grande"
        "|doze maçãs|um relógio antigo|o guarda-chuva",
        "perto da praia|antes do jantar|sem fazer barulho|na quinta-feira|durante a chuva|às sete e meia|debaixo da ponte|com muito cuidado"
        "|no meio da praça|mais uma vez",
    ),
}

LANGUAGES = tuple(_GRAMMAR)


def sentence(language: str, rng: np.random.Generator) -> str:
    """Return one sentence of `language` (a key of `LANGUAGES`), drawn with `rng`; now and then a row of numbers."""
    parts = [str(rng.choice(slot.split("|"))) for slot in _GRAMMAR[language]]
    kind = rng.random()
    if kind < 0.15:
        return ", ".join(str(int(n)) for n in rng.integers(0, 2000, size=5)) + "."
    if kind < 0.3:
        parts = [parts[0], parts[1], parts[2]]
    elif kind < 0.4:
        parts = [parts[3] + ",", parts[0], parts[1], parts[2]]
    return " ".join(parts) + str(rng.choice([".", ".", ".", "!", "?"]))
